"""One run at a time; stale locks and leftovers go, those of living jobs stay."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

from microexp.errors import UserError
from microexp.run import lock as run


def test_the_second_run_is_refused_in_one_line(tmp_path: Path) -> None:
    with run.begin(tmp_path):
        with pytest.raises(UserError, match=r"another run in this folder \(process \d+ on ") as error:
            run.begin(tmp_path)
        assert "\n" not in str(error.value)
    run.begin(tmp_path).close()  # the lock goes with the process


def test_the_lock_is_not_inherited_by_jobs(tmp_path: Path) -> None:
    lock = run.begin(tmp_path)
    with subprocess.Popen(["sleep", "60"], close_fds=False) as job:
        try:
            lock.close()
            run.begin(tmp_path).close()
            assert job.poll() is None, "the job was still there"
        finally:
            job.kill()


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


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    """Such as Lustre mounted without `flock`: Snakemake's own lock stays, and nobody's leftovers are touched."""
    locks = tmp_path / run.SNAKEMAKE_LOCKS
    locks.mkdir(parents=True)
    (tmp_path / run.RUN_LOCK).write_text(f"{socket.gethostname()} 17\n")
    leftover = tmp_path / "results" / ".microexp-tmp-012345-s01.h5"
    leftover.parent.mkdir()
    leftover.write_text("half")

    def no_lock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_lock)
    run.begin(tmp_path).close()
    assert os.strerror(number) in capsys.readouterr().err
    assert locks.exists()
    assert run.clear_leftovers(tmp_path) == [] and leftover.exists()


def test_nothing_is_deleted_while_a_run_or_a_job_is_at_work(tmp_path: Path) -> None:
    with run.no_run(tmp_path):
        assert list(tmp_path.iterdir()) == []  # results without a run: there is nothing to keep away
    with run.begin(tmp_path), pytest.raises(UserError, match="another run"), run.no_run(tmp_path):
        pass
    with (tmp_path / run.JOBS_LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with pytest.raises(UserError, match="jobs of a run that are still at work"), run.no_run(tmp_path):
            pass
    with run.no_run(tmp_path), pytest.raises(UserError, match="another run"):
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
    scratch = tmp_path / "weights" / ".microexp-tmp-012345-i3d.tar.gz"
    scratch.mkdir(parents=True)
    (scratch / "half.tar.gz").write_text("half")
    assert run.clear_leftovers(tmp_path) == [leftover, scratch]
    assert not leftover.exists() and kept.exists() and not scratch.exists()
    assert run.clear_leftovers(tmp_path) == []


def test_leftovers_in_a_linked_folder_may_be_of_another_run(tmp_path: Path) -> None:
    shared, folder = tmp_path / "shared", tmp_path / "run"
    shared.mkdir()
    folder.mkdir()
    leftover = shared / ".microexp-tmp-012345-i3d.safetensors"
    leftover.write_text("half")
    (folder / "weights").symlink_to(shared)
    assert run.clear_leftovers(folder) == [] and leftover.exists()


@pytest.mark.long
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
        (["-c2", "-Rindex"], True),
        (["-c2", "-dmyrun"], True),
        (["-c2", "-sSnakefile.new"], True),
        (["-c2", "-fn"], False),
        (["-c2", "--quiet", "--dryrun"], False),
        (["--summary"], False),
        (["-c2", "--delete-all-output"], True),
        (["-c1", "--conda-create-envs-only"], False),
    ],
)
def test_looking_is_told_from_running(arguments: list[str], expected: bool) -> None:
    options, _ = get_argument_parser().parse_known_args(arguments)
    assert run.runs_jobs(options) == expected


def test_the_shell_prefix_survives_odd_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a b'{c}" / "src"
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}/own '{{x}}:relative")
    monkeypatch.setattr(sys, "path", [*sys.path, "/where/it/began/relative"])
    text = run.shell_prefix(source, conda=True)
    log = tmp_path / "a log"
    command = (
        f"""{text}logged '{log}' sh -c 'echo "$PYTHONPATH|$MICROEXP_RUN|$$|$MICROEXP_PYTHONPATH|$PYTHONSAFEPATH"'"""
    )
    with subprocess.Popen(["bash", "-c", command]) as shell:
        shell.wait()
    path, token, pid, own, safe = log.read_text().strip().split("|")
    assert safe == "1", "what a job starts does not import from the working folder either"
    assert int(pid) == shell.pid, "no shell stands between the run and its job"
    assert path == str(source) and ":" in token
    assert own == f"{tmp_path}/own '{{x}}:/where/it/began/relative"  # a job may start in another folder
    assert "export PATH=" not in text
    assert "export PATH=" in run.shell_prefix(source, conda=False)


def test_the_log_of_the_attempt_before_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "rule.log"
    for number in (1, 2, 3):
        command = run.shell_prefix(tmp_path, conda=True) + f"logged {log} sh -c 'echo {number}; exit {number}'"
        assert subprocess.run(["bash", "-euo", "pipefail", "-c", command]).returncode == number
    assert log.read_text() == "3\n"
    assert log.with_name("rule.log.before").read_text() == "2\n"


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
