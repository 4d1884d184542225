"""What the Snakemake workflow needs to know, without Snakemake: the plan of a run, code hashes, locks, the watchdog."""
