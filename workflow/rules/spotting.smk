# Spotting: proposals and detections of every method, one fold per subject.


rule spotting_fold:
    input:
        **inputs("spotting-fold"),
    output:
        **outputs("spotting-fold"),
    log:
        "logs/spotting/{experiment}/{method}/{fold}.log",
    benchmark:
        "logs/benchmarks/spotting/{experiment}/{method}/{fold}.tsv"
    conda:
        environment("spotting-fold")
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(480),
        gpu=gpus("spotting-fold"),
    params:
        **options("spotting-fold"),
    shell:
        run_stage("spotting-fold")


rule detect:
    input:
        **inputs("detect"),
    output:
        **outputs("detect"),
    log:
        "logs/detect/{experiment}/{method}/{fold}.log",
    benchmark:
        "logs/benchmarks/detect/{experiment}/{method}/{fold}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(30),
    params:
        **options("detect"),
    shell:
        run_stage("detect")


rule events:
    input:
        **inputs("events"),
    output:
        **outputs("events"),
    log:
        "logs/events/{experiment}/{method}/{fold}.log",
    benchmark:
        "logs/benchmarks/events/{experiment}/{method}/{fold}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(120),
    params:
        **options("events"),
    shell:
        run_stage("events")
