# What all folds of an experiment read: the shards of one stage for all its subjects, as one list.


localrules:
    shards,


rule shards:
    input:
        shards=lambda wildcards: PLAN.inputs(
            wildcards.kind, wildcards.experiment, wildcards.stage
        ),
    output:
        list="results/{kind}/{experiment}/{stage}.list",
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
        code=code_hash("shards"),
    shell:
        "logged {log:q} python -m microexp shards --shards {input.shards:q} --out-list {output.list:q}"
