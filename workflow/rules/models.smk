# Models to take along, and their application to videos without ground truth.


rule model:
    input:
        **inputs("model"),
    output:
        **outputs("model"),
    log:
        "logs/model/{kind}_{experiment}_{method}.log",
    benchmark:
        "logs/benchmarks/model/{kind}_{experiment}_{method}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        **options("model"),
    shell:
        run_stage("model")


rule apply:
    input:
        **inputs("apply"),
    output:
        **outputs("apply"),
    log:
        "logs/apply/{application}/{dataset}/{subject}.log",
    benchmark:
        "logs/benchmarks/apply/{application}/{dataset}/{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(60),
    params:
        **options("apply"),
    shell:
        run_stage("apply")
