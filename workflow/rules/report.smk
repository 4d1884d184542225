# Tables of all experiments, the report, and whether the run is complete.


localrules:
    report_shards,
    complete,


rule tables:
    input:
        folds=lambda wildcards: PLAN.scored(wildcards.kind, wildcards.experiment),
        selections=lambda wildcards: PLAN.selections(
            wildcards.kind, wildcards.experiment
        ),
        expressions=lambda wildcards: PLAN.index(
            "expressions", wildcards.kind, wildcards.experiment
        ),
        videos=lambda wildcards: PLAN.index(
            "videos", wildcards.kind, wildcards.experiment
        ),
        shards=lambda wildcards: PLAN.excluding(wildcards.kind, wildcards.experiment),
        left_out=lambda wildcards: PLAN.index(
            "left_out", wildcards.kind, wildcards.experiment
        ),
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
        options=lambda wildcards: PLAN.options(
            f"tables-{wildcards.kind}", wildcards.experiment
        ),
        code=code_hash("tables"),
    shell:
        "logged {log:q} python -m microexp tables --kind {wildcards.kind} --experiment {wildcards.experiment:q} --folds {input.folds:q}"
        " --selections {input.selections:q} --expressions {input.expressions:q} --videos {input.videos:q}"
        " --shards @{input.shards:q} --left_out {input.left_out:q} --out-csv {output.csv:q} --out-md {output.md:q}"
        " --out-tex {output.tex:q} --out-json {output.json:q}"
        " --params {params.options:q} --threads {threads}"


rule report_subject:
    input:
        videos="results/index/{dataset}/subjects/{subject}/videos.csv",
        expressions="results/index/{dataset}/subjects/{subject}/expressions.csv",
        crops="results/crops/{dataset}/{subject}.h5",
        faces="results/faces/{dataset}/{subject}.h5",
        flow=made_for("flow"),
        motion=made_for("motion"),
        apexdiff=made_for("apexdiff"),
        detections=held_out("spotting", "detections.csv"),
        predictions=held_out("recognition", "predictions.csv"),
    output:
        page="results/report/{dataset}/{subject}.html",
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
        options=PLAN.options("report-subject"),
        code=code_hash("report-subject"),
    shell:
        "logged {log:q} python -m microexp report-subject --dataset {wildcards.dataset:q} --subject {wildcards.subject:q}"
        " --home ../../report.html --videos {input.videos:q} --expressions {input.expressions:q} --crops {input.crops:q}"
        " --faces {input.faces:q} --flow {input.flow:q} --motion {input.motion:q} --apexdiff {input.apexdiff:q}"
        " --detections {input.detections:q} --predictions {input.predictions:q} --out-page {output.page:q}"
        " --params {params.options:q} --threads {threads}"


use rule shards as report_shards with:
    input:
        shards=lambda wildcards: PLAN.reported(wildcards.reported),
    output:
        list="results/report/{reported}.list",
    log:
        "logs/shards/report_{reported}.log",
    benchmark:
        "logs/benchmarks/shards/report_{reported}.tsv"


rule report:
    input:
        tables=PLAN.tables("json"),
        videos=PLAN.indexes("videos"),
        expressions=PLAN.indexes("expressions"),
        counts=PLAN.indexes("counts"),
        issues=PLAN.indexes("issues"),
        detections="results/report/detections.list",
        training="results/report/training.list",
        faces="results/report/faces.list",
        crops="results/report/crops.list",
        flow="results/report/flow.list",
        apexdiff="results/report/apexdiff.list",
        records="results/report/records.list",
        pages="results/report/pages.list",
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
        "logged {log:q} python -m microexp report --tables {input.tables:q} --videos {input.videos:q}"
        " --expressions {input.expressions:q} --counts {input.counts:q} --issues {input.issues:q} --detections @{input.detections:q}"
        " --training @{input.training:q} --faces @{input.faces:q} --crops @{input.crops:q} --flow @{input.flow:q} --apexdiff @{input.apexdiff:q}"
        " --records @{input.records:q} --pages @{input.pages:q} --out-report {output.report:q}"
        " --params {params.options:q} --threads {threads}"


rule complete:
    input:
        shards=PLAN.last_shards(),
        left_out=PLAN.left_out(),
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
        "logged {log:q} python -m microexp complete --shards {input.shards:q} --left_out {input.left_out:q} --out-complete {output.complete:q}"
        " --params {params.options:q} --threads {threads}"
