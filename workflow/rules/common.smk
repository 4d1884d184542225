# The plan of the run and the few functions that rules use. The logic is in src/microexp/, typed and tested.
import gc
import inspect
from snakemake.cli import get_argument_parser
from snakemake.settings.types import DeploymentMethod
from microexp.errors import UserError
from microexp.pipeline import STAGES, command
from microexp.plan import Untracked, read_plan
from microexp.run import lock, yaml_file
from microexp.run.log import to_stderr
from microexp.run.devices import visible_gpus
from microexp.run.workflow import look_at_events_alone, words


def begin_run():
    """One run at a time in a folder; the lock is held until the process ends. A job of a run does not take it."""
    if workflow.is_main_process:
        options, _ = get_argument_parser().parse_known_args()
        return lock.begin(Path.cwd()) if lock.runs_jobs(options) else None


def per_attempt(first):
    """A resource that grows with the attempt: `first`, then twice, three times as much."""
    grow = lambda wildcards, attempt: first * attempt
    grow.__signature__ = inspect.signature(grow)  # Snakemake asks for it, once per job
    return grow


memory = per_attempt  # MB
minutes = per_attempt  # wall time


def inputs(stage):
    """Input files of a stage by name, as the table of stages says."""
    tracked = {n: i for n, i in STAGES[stage].inputs.items() if i.tracked}
    return {name: PLAN.input(stage, name) for name in tracked}


def outputs(stage):
    """Output files of a stage by name, as the table of stages says; `keep` makes some of them temporary."""
    paths = {name: output.path for name, output in STAGES[stage].outputs.items()}
    if PLAN.temporary(stage):
        return {name: temp(path) for name, path in paths.items()}
    return paths


def options(stage):
    """The options that a stage reads, as JSON, and the stage's version: what makes it run again; and what may change
    without that."""
    free = {n: i for n, i in STAGES[stage].inputs.items() if not i.tracked}
    many = [
        n
        for n, i in STAGES[stage].inputs.items()
        if i.tracked and i.passed and i.count == "many"
    ]
    return {
        "options": lambda wildcards: PLAN.options_for(stage, wildcards),
        "version": STAGES[stage].version,
        "run": Untracked(RUN + (lock.DELETED_LATER if PLAN.temporary(stage) else "")),
        **{name: untracked(PLAN.input(stage, name)) for name in free},
        **{name: short_words(name) for name in many},
    }


def untracked(source):
    """Texts for the command line that may change without making a job run again."""
    return lambda wildcards: [Untracked(text) for text in source(wildcards)]


def short_words(name):
    """The files of an input as few words of the shell; Snakemake compares the files themselves."""

    def shortened(wildcards, input):
        files = input.get(name)
        return Untracked(words([files] if isinstance(files, str) else files))

    return shortened


def run_stage(stage):
    """The shell line of a stage. What stands before it names the process of the run: it is filled in when the job
    starts, because a line that changes makes finished jobs run again."""
    return "{params.run}logged {log:q} " + command(STAGES[stage])


def gpus(stage):
    """GPUs that a job of `stage` asks for on this machine; profiles/slurm asks the cluster instead."""
    available = min(1, len(visible_gpus()))
    return lambda wildcards: available if PLAN.uses_gpu(stage, wildcards) else 0


def environment(stage):
    """Conda environment of a stage that can use a GPU."""
    kind = lock.environment_for_gpu() if PLAN.uses_gpu(stage) else "cpu"
    return f"../../envs/{kind}.yaml"


to_stderr()
gc.set_threshold(
    200_000, 20, 100
)  # a plan is millions of objects that stay: looking for garbage costs a tenth

try:
    for file in workflow.configfiles:
        yaml_file.read(file)  # Snakemake overlooks that a key stands twice
    PLAN = read_plan(config, (workflow.configfiles or ["config"])[-1])
    LOCK = begin_run()
except UserError as error:
    sys.exit(f"microexp: error: {error}")

CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
try:
    RUN = lock.shell_prefix(
        SOURCE if SOURCE.is_dir() else None, CONDA
    )  # of our own rules, and of no others
except UserError as error:
    sys.exit(f"microexp: error: {error}")


wildcard_constraints:
    **PLAN.constraints(),


onstart:
    lock.clear_leftovers(Path.cwd())
    look_at_events_alone(workflow.scheduler)
