# Recognition: MDML, one fold per subject.


rule mdml:
    input:
        apexdiff="results/recognition/{experiment}/apexdiff.list",
    output:
        model="results/recognition/{experiment}/{fold}/model.safetensors",
        training="results/recognition/{experiment}/{fold}/training.csv",
        predictions="results/recognition/{experiment}/{fold}/predictions.csv",
    log:
        "logs/mdml/{experiment}/{fold}.log",
    benchmark:
        "logs/benchmarks/mdml/{experiment}/{fold}.tsv"
    conda:
        environment("mdml")
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(240),
        gpu=gpus("mdml"),
    params:
        options=options_of("mdml"),
        code=code_hash("mdml"),
    shell:
        "logged {log:q} python -m microexp mdml --fold {wildcards.fold:q} --apexdiff @{input.apexdiff:q} --out-model {output.model:q}"
        " --out-training {output.training:q} --out-predictions {output.predictions:q}"
        " --params {params.options:q} --threads {threads} --gpus {resources.gpu}"
