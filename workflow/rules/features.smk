# Streams of features: one shard per stream and subject.


localrules:
    weights,


rule weights:
    input:
        **inputs("weights"),
    output:
        **outputs("weights"),
    log:
        "logs/weights.log",
    benchmark:
        "logs/benchmarks/weights.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(60),
    params:
        **options("weights"),
    shell:
        run_stage("weights")


rule i3d_rgb:
    input:
        **inputs("i3d-rgb"),
    output:
        **outputs("i3d-rgb"),
    log:
        "logs/i3d_rgb/{dataset}/{subject}.log",
    benchmark:
        "logs/benchmarks/i3d_rgb/{dataset}/{subject}.tsv"
    conda:
        environment("i3d-rgb")
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(480),
        gpu=gpus("i3d-rgb"),
    params:
        **options("i3d-rgb"),
    shell:
        run_stage("i3d-rgb")


rule i3d_flow:
    input:
        **inputs("i3d-flow"),
    output:
        **outputs("i3d-flow"),
    log:
        "logs/i3d_flow/{dataset}/{subject}.log",
    benchmark:
        "logs/benchmarks/i3d_flow/{dataset}/{subject}.tsv"
    conda:
        environment("i3d-flow")
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(480),
        gpu=gpus("i3d-flow"),
    params:
        **options("i3d-flow"),
    shell:
        run_stage("i3d-flow")


rule motion:
    input:
        **inputs("motion"),
    output:
        **outputs("motion"),
    log:
        "logs/motion/{dataset}/{subject}.log",
    benchmark:
        "logs/benchmarks/motion/{dataset}/{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=minutes(30),
    params:
        **options("motion"),
    shell:
        run_stage("motion")


rule given:
    input:
        **inputs("given"),
    output:
        **outputs("given"),
    log:
        "logs/given/{dataset}/{subject}.log",
    benchmark:
        "logs/benchmarks/given/{dataset}/{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=minutes(30),
    params:
        **options("given"),
    shell:
        run_stage("given")
