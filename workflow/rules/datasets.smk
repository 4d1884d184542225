# The demo data set is rendered; any data set is read through its adapter into one schema.


rule demo_sheet:
    input:
        **inputs("demo-sheet"),
    output:
        **outputs("demo-sheet"),
    log:
        "logs/demo_sheet.log",
    benchmark:
        "logs/benchmarks/demo_sheet.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        **options("demo-sheet"),
    shell:
        run_stage("demo-sheet")


rule demo:
    input:
        **inputs("demo"),
    output:
        **outputs("demo"),
    log:
        "logs/demo/{video}_{subject}.log",
    benchmark:
        "logs/benchmarks/demo/{video}_{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=minutes(20),
    params:
        **options("demo"),
    shell:
        run_stage("demo")


rule index:
    input:
        **inputs("index"),
    output:
        **outputs("index"),
    log:
        "logs/index/{dataset}.log",
    benchmark:
        "logs/benchmarks/index/{dataset}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(60),
    params:
        **options("index"),
    shell:
        run_stage("index")


rule index_subject:
    input:
        **inputs("index-subject"),
    output:
        **outputs("index-subject"),
    log:
        "logs/index/{dataset}_{subject}.log",
    benchmark:
        "logs/benchmarks/index/{dataset}_{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        **options("index-subject"),
    shell:
        run_stage("index-subject")
