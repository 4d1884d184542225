# From videos to aligned crops and what moves in them: one shard per subject.


rule faces:
    input:
        videos="results/index/{dataset}/subjects/{subject}/videos.csv",
        sources=lambda wildcards: PLAN.rendered(wildcards.dataset, wildcards.subject),
    output:
        faces="results/faces/{dataset}/{subject}.h5",
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
        options=PLAN.options("faces"),
        code=code_hash("faces"),
    shell:
        "logged {log:q} python -m microexp faces --videos {input.videos:q} --out-faces {output.faces:q}"
        " --params {params.options:q} --threads {threads} --gpus {resources.gpu}"


rule crops:
    input:
        videos="results/index/{dataset}/subjects/{subject}/videos.csv",
        faces="results/faces/{dataset}/{subject}.h5",
        sources=lambda wildcards: PLAN.rendered(wildcards.dataset, wildcards.subject),
    output:
        crops="results/crops/{dataset}/{subject}.h5",
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
        options=lambda wildcards: PLAN.options("crops", wildcards.dataset),
        code=code_hash("crops"),
    shell:
        "logged {log:q} python -m microexp crops --videos {input.videos:q} --faces {input.faces:q} --out-crops {output.crops:q}"
        " --params {params.options:q} --threads {threads}"


rule flow:
    input:
        crops="results/crops/{dataset}/{subject}.h5",
    output:
        flow="results/flow/{dataset}/{subject}.h5",
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
        options=PLAN.options("flow"),
        code=code_hash("flow"),
    shell:
        "logged {log:q} python -m microexp flow --crops {input.crops:q} --out-flow {output.flow:q}"
        " --params {params.options:q} --threads {threads} --gpus {resources.gpu}"


rule apexdiff:
    input:
        crops="results/crops/{dataset}/{subject}.h5",
        expressions="results/index/{dataset}/subjects/{subject}/expressions.csv",
        videos="results/index/{dataset}/subjects/{subject}/videos.csv",
    output:
        apexdiff="results/apexdiff/{dataset}/{subject}.h5",
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
        options=PLAN.options("apexdiff"),
        code=code_hash("apexdiff"),
    shell:
        "logged {log:q} python -m microexp apexdiff --crops {input.crops:q} --expressions {input.expressions:q}"
        " --videos {input.videos:q} --out-apexdiff {output.apexdiff:q}"
        " --params {params.options:q} --threads {threads} --gpus {resources.gpu}"
