# From videos to aligned crops and what moves in them: one shard per subject.


rule faces:
    input:
        **inputs("faces"),
    output:
        **outputs("faces"),
    log:
        "logs/faces/{dataset}/{subject}.log",
    benchmark:
        "logs/benchmarks/faces/{dataset}/{subject}.tsv"
    conda:
        environment("faces")
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(240),
        gpu=gpus("faces"),
    params:
        **options("faces"),
    shell:
        run_stage("faces")


rule crops:
    input:
        **inputs("crops"),
    output:
        **outputs("crops"),
    log:
        "logs/crops/{dataset}/{subject}.log",
    benchmark:
        "logs/benchmarks/crops/{dataset}/{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(120),
    params:
        **options("crops"),
    shell:
        run_stage("crops")


rule flow:
    input:
        **inputs("flow"),
    output:
        **outputs("flow"),
    log:
        "logs/flow/{dataset}/{subject}.log",
    benchmark:
        "logs/benchmarks/flow/{dataset}/{subject}.tsv"
    conda:
        environment("flow")
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(480),
        gpu=gpus("flow"),
    params:
        **options("flow"),
    shell:
        run_stage("flow")


rule apexdiff:
    input:
        **inputs("apexdiff"),
    output:
        **outputs("apexdiff"),
    log:
        "logs/apexdiff/{dataset}/{subject}.log",
    benchmark:
        "logs/benchmarks/apexdiff/{dataset}/{subject}.tsv"
    conda:
        environment("apexdiff")
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(60),
        gpu=gpus("apexdiff"),
    params:
        **options("apexdiff"),
    shell:
        run_stage("apexdiff")
