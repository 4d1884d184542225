# Spotting: AEM-Net and detections, one fold per subject.


rule aemnet:
    input:
        features="results/spotting/{experiment}/i3d.list",
        expressions=lambda wildcards: PLAN.index(
            "expressions", "spotting", wildcards.experiment
        ),
        videos=lambda wildcards: PLAN.index("videos", "spotting", wildcards.experiment),
    output:
        model="results/spotting/{experiment}/{fold}/model.safetensors",
        training="results/spotting/{experiment}/{fold}/training.csv",
        proposals="results/spotting/{experiment}/{fold}/proposals.csv",
    log:
        "logs/aemnet/{experiment}/{fold}.log",
    benchmark:
        "logs/benchmarks/aemnet/{experiment}/{fold}.tsv"
    conda:
        environment("aemnet")
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(480),
        gpu=gpus("aemnet"),
    params:
        options=options_of("aemnet"),
        code=code_hash("aemnet"),
    shell:
        "logged {log:q} python -m microexp aemnet --fold {wildcards.fold:q} --features @{input.features:q} --expressions {input.expressions:q}"
        " --videos {input.videos:q} --out-model {output.model:q} --out-training {output.training:q} --out-proposals {output.proposals:q}"
        " --params {params.options:q} --threads {threads} --gpus {resources.gpu}"


rule detect:
    input:
        proposals="results/spotting/{experiment}/{fold}/proposals.csv",
        motion="results/spotting/{experiment}/motion.list",
        expressions=lambda wildcards: PLAN.index(
            "expressions", "spotting", wildcards.experiment
        ),
        videos=lambda wildcards: PLAN.index("videos", "spotting", wildcards.experiment),
    output:
        detections="results/spotting/{experiment}/{fold}/detections.csv",
        selection="results/spotting/{experiment}/{fold}/selection.json",
    log:
        "logs/detect/{experiment}/{fold}.log",
    benchmark:
        "logs/benchmarks/detect/{experiment}/{fold}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(30),
    params:
        options=options_of("detect"),
        code=code_hash("detect"),
    shell:
        "logged {log:q} python -m microexp detect --fold {wildcards.fold:q} --proposals {input.proposals:q} --motion @{input.motion:q}"
        " --expressions {input.expressions:q} --videos {input.videos:q}"
        " --out-detections {output.detections:q} --out-selection {output.selection:q} --params {params.options:q} --threads {threads}"
