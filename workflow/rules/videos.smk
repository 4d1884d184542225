# One's own videos: landmarks, tables and a page of each, as `microexp video` asks for them.


rule landmarks:
    input:
        **inputs("landmarks"),
    output:
        **outputs("landmarks"),
    log:
        "logs/landmarks/{application}/{dataset}/{subject}.log",
    benchmark:
        "logs/benchmarks/landmarks/{application}/{dataset}/{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(240),
    params:
        **options("landmarks"),
    shell:
        run_stage("landmarks")


rule video_tables:
    input:
        **inputs("video-tables"),
    output:
        **outputs("video-tables"),
    log:
        "logs/video_tables/{application}/{dataset}/{subject}.log",
    benchmark:
        "logs/benchmarks/video_tables/{application}/{dataset}/{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(60),
    params:
        **options("video-tables"),
    shell:
        run_stage("video-tables")


rule video_page:
    input:
        **inputs("video-page"),
    output:
        **outputs("video-page"),
    log:
        "logs/video_page/{application}/{dataset}/{subject}.log",
    benchmark:
        "logs/benchmarks/video_page/{application}/{dataset}/{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(60),
    params:
        **options("video-page"),
    shell:
        run_stage("video-page")


rule annotated:
    input:
        **inputs("annotated"),
    output:
        **outputs("annotated"),
    log:
        "logs/annotated/{application}/{dataset}/{subject}.log",
    benchmark:
        "logs/benchmarks/annotated/{application}/{dataset}/{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(60),
    params:
        **options("annotated"),
    shell:
        run_stage("annotated")
