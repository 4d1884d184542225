"""One run at a time in a folder, and what a killed run left."""

from __future__ import annotations

import fcntl
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from microexp.errors import UserError
from microexp.run import lock
from microexp.run.lock import (
    LOOKING,
    RUN_LOCK,
    SNAKEMAKE_LOCKS,
    USER_PATH,
    begin,
    clear_leftovers,
    environment_for_gpu,
    leftovers,
    no_run,
    runs_jobs,
    shell_prefix,
    user_path,
)
from microexp.run.storage import TEMPORARY
from microexp.run.watchdog import JOBS_LOCK


def options(**chosen: object) -> SimpleNamespace:
    """Snakemake's options, as its parser gives them."""
    return SimpleNamespace(**{**dict.fromkeys(LOOKING, False), "report": None, "report_after_run": False, **chosen})


def test_a_run_runs_jobs_and_looking_does_not() -> None:
    assert runs_jobs(options())
    for name in LOOKING:
        assert not runs_jobs(options(**{name: "x" if name == "report" else True})), name
    assert runs_jobs(options(report="x", report_after_run=True))
    assert not runs_jobs(options(report="x", report_after_run=True, dryrun=True))


def test_a_second_run_is_told_who_is_there(tmp_path: Path) -> None:
    with begin(tmp_path):
        with pytest.raises(UserError, match=rf"another run in this folder \(process {os.getpid()} on ") as error:
            begin(tmp_path)
        assert socket.gethostname() in str(error.value) and "wait for it or stop it" in str(error.value)
    begin(tmp_path).close()


def test_a_lock_that_names_nobody_is_one_too(tmp_path: Path) -> None:
    with begin(tmp_path):
        (tmp_path / RUN_LOCK).write_text("")
        with pytest.raises(UserError, match=r"process \? on \?"):
            begin(tmp_path)


@pytest.mark.parametrize(("host", "stale"), [(socket.gethostname(), True), ("another-machine", False)])
def test_snakemakes_locks_are_stale_only_if_the_run_was_here(tmp_path: Path, host: str, stale: bool) -> None:
    (tmp_path / SNAKEMAKE_LOCKS).mkdir(parents=True)
    (tmp_path / SNAKEMAKE_LOCKS / "0.input.lock").touch()
    (tmp_path / RUN_LOCK).write_text(f"{host} 1\n")
    begin(tmp_path).close()
    assert (tmp_path / SNAKEMAKE_LOCKS).exists() != stale
    assert (tmp_path / RUN_LOCK).read_text() == f"{socket.gethostname()} {os.getpid()}\n"


def test_in_a_folder_of_which_nothing_is_known_nothing_is_removed(tmp_path: Path) -> None:
    (tmp_path / SNAKEMAKE_LOCKS).mkdir(parents=True)
    begin(tmp_path).close()
    assert (tmp_path / SNAKEMAKE_LOCKS).exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".snakemake").write_text("a file in the way")
    with pytest.raises(UserError, match="expected a working folder that can be written"):
        begin(tmp_path)


def test_without_locks_there_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    begin(tmp_path).close()
    assert "no lock (No locks available): only Snakemake's own lock is used" in capsys.readouterr().err
    with no_run(tmp_path) as certain:
        assert not certain


def leave(folder: Path) -> list[Path]:
    """Files and a folder as killed jobs leave them, and a result beside them."""
    places = [folder / "results/flow" / f"{TEMPORARY}00-s1.h5", folder / "weights" / f"{TEMPORARY}11-w"]
    places[0].parent.mkdir(parents=True)
    places[0].write_text("half")
    places[1].mkdir(parents=True)
    (places[1] / "part").write_text("half")
    (folder / "results/flow/s1.h5").write_text("whole")
    return places


def test_what_killed_jobs_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    places = leave(tmp_path)
    assert list(leftovers(tmp_path)) == places and clear_leftovers(tmp_path) == places
    assert not any(place.exists() for place in places)
    assert (tmp_path / "results/flow/s1.h5").read_text() == "whole"
    assert clear_leftovers(tmp_path) == []


def test_nothing_is_removed_while_a_job_is_alive(tmp_path: Path) -> None:
    places = leave(tmp_path)
    (tmp_path / JOBS_LOCK).parent.mkdir(parents=True, exist_ok=True)
    with (tmp_path / JOBS_LOCK).open("a") as job:
        fcntl.flock(job, fcntl.LOCK_SH)
        assert clear_leftovers(tmp_path) == [] and all(place.exists() for place in places)
        (tmp_path / RUN_LOCK).touch()
        with pytest.raises(UserError, match="jobs of a run that are still at work"), no_run(tmp_path):
            pytest.fail("a job is at work")
    assert clear_leftovers(tmp_path) == places


def test_a_linked_folder_may_serve_others(tmp_path: Path) -> None:
    leave(tmp_path / "other")
    (tmp_path / "mine").mkdir()
    for name in ("results", "weights"):
        (tmp_path / "mine" / name).symlink_to(tmp_path / "other" / name)
    assert clear_leftovers(tmp_path / "mine") == []
    assert len(list(leftovers(tmp_path / "other"))) == 2


def test_runs_are_kept_out_for_a_while(tmp_path: Path) -> None:
    with no_run(tmp_path) as certain:
        assert certain and not (tmp_path / RUN_LOCK).exists(), "where nothing ran, nothing is made"
    begin(tmp_path).close()
    with no_run(tmp_path) as certain:
        assert certain
        with pytest.raises(UserError, match="another run"):
            begin(tmp_path)
    with begin(tmp_path), pytest.raises(UserError, match="another run"), no_run(tmp_path):
        pytest.fail("a run is at work")


@pytest.mark.parametrize(
    ("environment", "name"),
    [({}, "cpu"), ({"CUDA_VISIBLE_DEVICES": "0"}, "gpu"), ({"CONDA_OVERRIDE_CUDA": "13"}, "gpu")],
)
def test_rules_take_the_environment_of_this_machine(
    environment: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "visible_gpus", lambda e: [g for g in [e.get("CUDA_VISIBLE_DEVICES")] if g])
    assert environment_for_gpu(environment) == name


def test_the_users_folders_are_absolute_and_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"PYTHONPATH": f"/a{os.pathsep}{os.pathsep}own", USER_PATH: f"/b{os.pathsep}/a"}
    assert user_path(given).split(os.pathsep) == ["/a", str(tmp_path / "own"), "/b"]
    assert user_path({}) == ""


def test_a_relative_folder_is_where_python_found_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snakemake has gone to another folder since."""
    monkeypatch.setattr(sys, "path", [str(tmp_path / "start" / "own"), *sys.path])
    monkeypatch.chdir(tmp_path)
    assert user_path({"PYTHONPATH": "own"}) == str(tmp_path / "start" / "own")


def test_a_job_gets_its_surroundings_and_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With names that a shell would take for more than names."""
    source, own = tmp_path / "it's $HOME", tmp_path / "own; exit 3"
    monkeypatch.setenv("PYTHONPATH", str(own))
    show = "import os; print(os.environ['PYTHONPATH'], os.environ['MICROEXP_PYTHONPATH'], sep='\\n')"
    line = shell_prefix(source, conda=False) + f"logged log.txt python -P -c {shlex.quote(show)}"
    for _ in range(2):
        subprocess.run(["bash", "-c", line], cwd=tmp_path, check=True)
    for name in ("log.txt", "log.txt.before"):
        assert (tmp_path / name).read_text().splitlines() == [str(source), str(own)]


def test_environments_of_conda_need_the_source(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="environments need the package's source"):
        shell_prefix(None, conda=True)
    assert "export PATH=" in shell_prefix(None, conda=False)
    assert "export PATH=" not in shell_prefix(tmp_path, conda=True), "there, python is that of the environment"
