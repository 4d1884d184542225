# Tables of all experiments, the report, and whether the run is complete.


localrules:
    report_list,
    complete,


rule tables:
    input:
        **inputs("tables"),
    output:
        **outputs("tables"),
    log:
        "logs/tables/{kind}_{experiment}.log",
    benchmark:
        "logs/benchmarks/tables/{kind}_{experiment}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(60),
    params:
        **options("tables"),
    shell:
        run_stage("tables")


rule report_subject:
    input:
        **inputs("report-subject"),
    output:
        **outputs("report-subject"),
    log:
        "logs/report/{dataset}/{subject}.log",
    benchmark:
        "logs/benchmarks/report/{dataset}/{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        **options("report-subject"),
    shell:
        run_stage("report-subject")


rule report_list:
    input:
        **inputs("report-list"),
    output:
        **outputs("report-list"),
    log:
        "logs/shards/report_{reported}.log",
    benchmark:
        "logs/benchmarks/shards/report_{reported}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=minutes(10),
    params:
        **options("report-list"),
    shell:
        run_stage("report-list")


rule report:
    input:
        **inputs("report"),
    output:
        **outputs("report"),
    log:
        "logs/report.log",
    benchmark:
        "logs/benchmarks/report.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(60),
    params:
        **options("report"),
    shell:
        run_stage("report")


rule complete:
    input:
        **inputs("complete"),
    output:
        **outputs("complete"),
    log:
        "logs/complete.log",
    benchmark:
        "logs/benchmarks/complete.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(30),
    params:
        **options("complete"),
    shell:
        run_stage("complete")
