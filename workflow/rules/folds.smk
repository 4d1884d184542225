# What all folds of an experiment read: the shards of one stage for all its subjects, as one list.


localrules:
    shards,


rule shards:
    input:
        **inputs("shards"),
    output:
        **outputs("shards"),
    log:
        "logs/shards/{kind}_{experiment}_{stage}.log",
    benchmark:
        "logs/benchmarks/shards/{kind}_{experiment}_{stage}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=minutes(10),
    params:
        **options("shards"),
    shell:
        run_stage("shards")
