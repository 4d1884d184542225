# Two-stream I3D features and their weights.


localrules:
    weights,


rule weights:
    output:
        weights="weights/i3d_rgb_kinetics400.safetensors",
    log:
        "logs/weights.log",
    benchmark:
        "logs/benchmarks/weights.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(60),
    params:
        code=code_hash("weights"),
    shell:
        "logged {log:q} python -m microexp weights --out-weights {output.weights:q}"


rule i3d:
    input:
        crops="results/crops/{dataset}/{subject}.h5",
        flow="results/flow/{dataset}/{subject}.h5",
        weights=PLAN.config.i3d.rgb_weights,
        flow_weights=PLAN.flow_weights(),
    output:
        i3d="results/i3d/{dataset}/{subject}.h5",
    log:
        "logs/i3d/{dataset}/{subject}.log",
    benchmark:
        "logs/benchmarks/i3d/{dataset}/{subject}.tsv"
    conda:
        environment("i3d")
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(480),
        gpu=gpus("i3d"),
    params:
        options=PLAN.options("i3d"),
        code=code_hash("i3d"),
    shell:
        "logged {log:q} python -m microexp i3d --crops {input.crops:q} --flow {input.flow:q} --weights {input.weights:q}"
        " --flow_weights {input.flow_weights:q} --out-i3d {output.i3d:q}"
        " --params {params.options:q} --threads {threads} --gpus {resources.gpu}"


rule motion:
    input:
        flow="results/flow/{dataset}/{subject}.h5",
        faces="results/faces/{dataset}/{subject}.h5",
        crops="results/crops/{dataset}/{subject}.h5",
    output:
        motion="results/motion/{dataset}/{subject}.h5",
    log:
        "logs/motion/{dataset}/{subject}.log",
    benchmark:
        "logs/benchmarks/motion/{dataset}/{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=minutes(30),
    params:
        options=PLAN.options("motion"),
        code=code_hash("motion"),
    shell:
        "logged {log:q} python -m microexp motion --flow {input.flow:q} --faces {input.faces:q} --crops {input.crops:q}"
        " --out-motion {output.motion:q} --params {params.options:q} --threads {threads}"
