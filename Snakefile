# From face videos to tables of micro-expression results. What is run: config.yaml, or --configfile YOURS.yaml.
import sys
from pathlib import Path
from snakemake.utils import min_version

min_version("9.25")

if not workflow.configfiles:  # your own file replaces config.yaml as a whole

    configfile: "config.yaml"


SOURCE = (
    Path(str(workflow.current_basedir)) / "src"
)  # of this Snakefile, also when another one takes it in
if SOURCE.is_dir():  # otherwise this file came in a wheel, and the package is installed
    sys.path.insert(0, str(SOURCE))


include: "workflow/rules/common.smk"
include: "workflow/rules/datasets.smk"
include: "workflow/rules/faces.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/folds.smk"
include: "workflow/rules/spotting.smk"
include: "workflow/rules/recognition.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/videos.smk"
include: "workflow/rules/report.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        PLAN.everything(),
