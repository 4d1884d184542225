"""One run at a time; stale locks and leftovers go, those of living jobs stay."""

from __future__ import annotations

import fcntl
import socket
import subprocess
from pathlib import Path

import pytest

from microexp.errors import UserError
from microexp.workflow import run


def test_the_second_run_is_refused_in_one_line(tmp_path: Path) -> None:
    with run.begin(tmp_path):
        with pytest.raises(UserError, match=r"another run in this folder \(process \d+ on ") as error:
            run.begin(tmp_path)
        assert "\n" not in str(error.value)
    run.begin(tmp_path).close()  # the lock goes with the process


def test_the_lock_is_not_inherited_by_jobs(tmp_path: Path) -> None:
    with run.begin(tmp_path), subprocess.Popen(["sleep", "5"]) as job:
        pass_on = job.pid
        assert pass_on
        job.kill()
    run.begin(tmp_path).close()


def test_a_killed_runs_snakemake_locks_are_removed_if_it_was_on_this_machine(tmp_path: Path) -> None:
    locks = tmp_path / run.SNAKEMAKE_LOCKS
    locks.mkdir(parents=True)
    (locks / "0.input.lock").write_text("a")
    record = tmp_path / run.RUN_LOCK
    record.write_text("elsewhere 17\n")
    run.begin(tmp_path).close()
    assert locks.exists()  # perhaps that run is alive, and its file system's locks do not reach us
    record.write_text(f"{socket.gethostname()} 17\n")
    run.begin(tmp_path).close()
    assert not locks.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / ".snakemake").write_text("a file in the way")
    with pytest.raises(UserError, match=r"microexp-run\.lock.*a working folder that can be written"):
        run.begin(tmp_path)


def test_leftovers_go_unless_a_job_is_alive(tmp_path: Path) -> None:
    leftover = tmp_path / "results" / "a" / ".microexp-tmp-012345-s01.h5"
    leftover.parent.mkdir(parents=True)
    leftover.write_text("half")
    kept = leftover.with_name("s01.h5")
    kept.write_text("whole")
    lock = tmp_path / run.JOBS_LOCK
    lock.parent.mkdir()
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert run.clear_leftovers(tmp_path) == [] and leftover.exists()
    assert run.clear_leftovers(tmp_path) == [leftover]
    assert not leftover.exists() and kept.exists()
    assert run.clear_leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--cores", "2"], True),
        (["--cores=2", "results/report.html", "-f"], True),
        (["-j4", "--configfile", "mine.yaml"], True),
        (["--report-after-run", "--report", "r.html", "-c1"], True),
        (["--cores", "2", "--rerun-incomplete", "--keep-going"], True),
        (["-n"], False),
        (["-np"], False),
        (["--dry-run", "--cores", "2"], False),
        (["--unlock"], False),
        (["--lint"], False),
        (["--report=r.html"], False),
        (["--rulegraph", "mermaid-js"], False),
        (["--list-rules"], False),
    ],
)
def test_looking_is_told_from_running(arguments: list[str], expected: bool) -> None:
    assert run.runs_jobs(arguments) == expected


def test_the_shell_prefix_survives_odd_paths_and_snakemakes_formatting(tmp_path: Path) -> None:
    source = tmp_path / "a b'{c}" / "src"
    text = run.shell_prefix(source, conda=True).format()
    done = subprocess.run(
        ["bash", "-c", text + """sh -c 'echo "$PYTHONPATH|$MICROEXP_RUN"'"""],
        capture_output=True,
        text=True,
        check=True,
    )
    path, token = done.stdout.strip().split("|")
    assert path == str(source) and ":" in token
    assert "PATH=" not in text.replace("PYTHONPATH=", "")
    assert "export PATH=" in run.shell_prefix(source, conda=False)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"CUDA_VISIBLE_DEVICES": ""}, "cpu"),
        ({"CUDA_VISIBLE_DEVICES": "0"}, "gpu"),
        ({"CUDA_VISIBLE_DEVICES": "", "CONDA_OVERRIDE_CUDA": "12.9"}, "gpu"),
    ],
)
def test_the_gpu_environment_is_used_where_there_is_a_gpu(environment: dict[str, str], expected: str) -> None:
    assert run.environment_for_gpu(environment) == expected
