# The plan of the run and the few functions that rules use. The logic is in src/microexp/plan.py, typed and tested.
import gc
import inspect
from snakemake.cli import get_argument_parser
from snakemake.settings.types import DeploymentMethod
from microexp.errors import UserError
from microexp.run.gpu_pool import visible_gpus
from microexp.run import lock as run
from microexp.run.code import code_hash
from microexp.plan import read_plan


def begin_run():
    """One run at a time in a folder; the lock is held until the process ends. A job of a run does not take it."""
    if workflow.is_main_process:
        options, _ = get_argument_parser().parse_known_args()
        return run.begin(Path.cwd()) if run.runs_jobs(options) else None


def per_attempt(first):
    """A resource that grows with the attempt: `first`, then twice, three times as much."""
    grow = lambda wildcards, attempt: first * attempt
    grow.__signature__ = inspect.signature(grow)  # Snakemake asks for it, once per job
    return grow


memory = per_attempt  # MB
minutes = per_attempt  # wall time


def options_of(stage):
    """The options that a stage of an experiment reads, as JSON."""
    return lambda wildcards: PLAN.options(stage, wildcards.experiment)


def gpus(stage):
    """GPUs that a job of `stage` asks for on this machine; profiles/slurm asks the cluster instead."""
    return min(1, len(visible_gpus())) if PLAN.uses_gpu(stage) else 0


def environment(stage):
    """Conda environment of a stage that can use a GPU."""
    kind = run.environment_for_gpu() if PLAN.uses_gpu(stage) else "cpu"
    return f"../../envs/{kind}.yaml"


def made_for(stage):
    """The shard of `stage` of the wildcards' subject, if some experiment needs it."""
    return lambda wildcards: PLAN.made_for(stage, wildcards.dataset, wildcards.subject)


def held_out(kind, name):
    """File `name` of every fold of `kind` that holds out the wildcards' subject."""
    return lambda wildcards: PLAN.held_out(
        kind, name, wildcards.dataset, wildcards.subject
    )


gc.set_threshold(
    200_000, 20, 100
)  # a plan is millions of objects that stay: looking for garbage costs a tenth

try:
    PLAN = read_plan(config, workflow.configfiles[-1])
    LOCK = begin_run()
except UserError as error:
    sys.exit(f"microexp: error: {error}")

CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method

shell.prefix(run.shell_prefix(Path(workflow.basedir) / "src", CONDA))


wildcard_constraints:
    **PLAN.constraints(),


onstart:
    run.clear_leftovers(Path.cwd())
