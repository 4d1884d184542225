"""Anybody's own videos in one command: inputs of any name, a configuration with `apply:`, the run, and its summary."""
