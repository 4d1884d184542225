# The demo data set is rendered; any data set is read through its adapter into one schema.


rule demo_sheet:
    output:
        sheet="results/demo/annotations.csv",
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
        options=PLAN.options("demo-sheet"),
        code=code_hash("demo-sheet"),
    shell:
        "logged {log:q} python -m microexp demo-sheet --out-sheet {output.sheet:q}"
        " --params {params.options:q} --threads {threads}"


rule demo:
    output:
        video="results/demo/videos/{subject}/{video}.mp4",
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
        options=PLAN.options("demo"),
        code=code_hash("demo"),
    shell:
        "logged {log:q} python -m microexp demo --video {wildcards.video:q} --out-video {output.video:q}"
        " --params {params.options:q} --threads {threads}"


rule index:
    input:
        files=lambda wildcards: PLAN.sources(wildcards.dataset),
    output:
        videos="results/index/{dataset}/videos.csv",
        expressions="results/index/{dataset}/expressions.csv",
        issues="results/index/{dataset}/issues.csv",
        counts="results/index/{dataset}/counts.csv",
        left_out="results/index/{dataset}/left_out.csv",
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
        options=lambda wildcards: PLAN.options("index", wildcards.dataset),
        listing=lambda wildcards: PLAN.digest(wildcards.dataset),
        code=code_hash("index"),
    shell:
        "logged {log:q} python -m microexp index --dataset {wildcards.dataset:q} --files {input.files:q} --out-videos {output.videos:q}"
        " --out-expressions {output.expressions:q} --out-issues {output.issues:q} --out-counts {output.counts:q}"
        " --out-left_out {output.left_out:q} --params {params.options:q} --threads {threads}"


rule index_subject:
    input:
        videos="results/index/{dataset}/videos.csv",
        expressions="results/index/{dataset}/expressions.csv",
        left_out="results/index/{dataset}/left_out.csv",
    output:
        videos="results/index/{dataset}/subjects/{subject}/videos.csv",
        expressions="results/index/{dataset}/subjects/{subject}/expressions.csv",
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
        code=code_hash("index-subject"),
    shell:
        "logged {log:q} python -m microexp index-subject --subject {wildcards.subject:q} --videos {input.videos:q}"
        " --expressions {input.expressions:q} --left_out {input.left_out:q} --out-videos {output.videos:q}"
        " --out-expressions {output.expressions:q} --threads {threads}"
