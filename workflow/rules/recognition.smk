# Recognition: predictions of every method, one fold per subject.


rule recognition_fold:
    input:
        **inputs("recognition-fold"),
    output:
        **outputs("recognition-fold"),
    log:
        "logs/recognition/{experiment}/{method}/{fold}.log",
    benchmark:
        "logs/benchmarks/recognition/{experiment}/{method}/{fold}.tsv"
    conda:
        environment("recognition-fold")
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(240),
        gpu=gpus("recognition-fold"),
    params:
        **options("recognition-fold"),
    shell:
        run_stage("recognition-fold")
