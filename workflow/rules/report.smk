# Tables of all experiments, the report, and whether the run is complete.


localrules:
    complete,


rule tables:
    input:
        folds=lambda wildcards: PLAN.scored(wildcards.kind, wildcards.experiment),
        expressions=lambda wildcards: PLAN.index(
            "expressions", wildcards.kind, wildcards.experiment
        ),
        videos=lambda wildcards: PLAN.index(
            "videos", wildcards.kind, wildcards.experiment
        ),
        shards=lambda wildcards: PLAN.excluding(wildcards.kind, wildcards.experiment),
    output:
        csv="results/tables/{kind}_{experiment}.csv",
        md="results/tables/{kind}_{experiment}.md",
        tex="results/tables/{kind}_{experiment}.tex",
        json="results/tables/{kind}_{experiment}.json",
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
        options=lambda wildcards: PLAN.options("tables", wildcards.experiment),
        code=code_hash("tables"),
    shell:
        "python -m microexp tables --kind {wildcards.kind} --experiment {wildcards.experiment:q} --folds {input.folds:q}"
        " --expressions {input.expressions:q} --videos {input.videos:q} --shards {input.shards:q} --out-csv {output.csv:q} --out-md {output.md:q}"
        " --out-tex {output.tex:q} --out-json {output.json:q}"
        " --params {params.options:q} --threads {threads} > {log:q} 2>&1"


rule report:
    input:
        tables=PLAN.tables(),
    output:
        report="results/report.html",
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
        options=PLAN.options("report"),
        code=code_hash("report"),
    shell:
        "python -m microexp report --tables {input.tables:q} --out-report {output.report:q}"
        " --params {params.options:q} --threads {threads} > {log:q} 2>&1"


rule complete:
    input:
        shards=PLAN.last_shards(),
        tables=PLAN.tables("json"),
    output:
        complete="results/complete.csv",
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
        options=PLAN.options("complete"),
        code=code_hash("complete"),
    shell:
        "python -m microexp complete --shards {input.shards:q} --out-complete {output.complete:q}"
        " --params {params.options:q} --threads {threads} > {log:q} 2>&1"
