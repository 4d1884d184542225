"""Jobs on one machine never share a GPU, and locks go with the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from microexp.errors import UserError
from microexp.run.devices import claim, visible_gpus


def test_two_jobs_get_different_gpus_and_give_them_back(tmp_path: Path) -> None:
    first, second = {"CUDA_VISIBLE_DEVICES": "0,1"}, {"CUDA_VISIBLE_DEVICES": "0,1"}
    with claim(1, first, tmp_path), claim(1, second, tmp_path) as held:
        assert first["CUDA_VISIBLE_DEVICES"] == "0"
        assert second["CUDA_VISIBLE_DEVICES"] == "1" and held == ["1"]
    again = {"CUDA_VISIBLE_DEVICES": "0,1"}
    with claim(2, again, tmp_path):
        assert again["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_a_job_that_finds_none_free_says_so(tmp_path: Path) -> None:
    with (
        claim(1, {"CUDA_VISIBLE_DEVICES": "0"}, tmp_path),
        pytest.raises(UserError, match=r"0 of 1 free.*--resources gpu=N"),
        claim(1, {"CUDA_VISIBLE_DEVICES": "0"}, tmp_path, patience_s=0),
    ):
        pass


def test_more_gpus_than_there_are_is_refused_at_once(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="1 on this machine; expected 2"),
        claim(2, {"CUDA_VISIBLE_DEVICES": "3"}, tmp_path),
    ):
        pass


def test_a_job_without_a_gpu_sees_none(tmp_path: Path) -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "0"}
    with claim(0, environment, tmp_path):
        assert environment["CUDA_VISIBLE_DEVICES"] == ""


def test_under_slurm_nothing_is_done(tmp_path: Path) -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "0", "SLURM_JOB_ID": "7"}
    with claim(1, environment, tmp_path) as held:
        assert held == ["0"] and not list(tmp_path.iterdir())


def test_the_lock_of_a_killed_job_is_free(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from microexp.run.devices import claim\n"
        "with claim(1, {'CUDA_VISIBLE_DEVICES': 'GPU-a/b'}, Path(sys.argv[1])):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None and job.stdout.readline() == "held\n"
        with pytest.raises(UserError), claim(1, {"CUDA_VISIBLE_DEVICES": "GPU-a/b"}, tmp_path, patience_s=0):
            pass
        job.kill()
    with claim(1, {"CUDA_VISIBLE_DEVICES": "GPU-a/b"}, tmp_path, patience_s=5):
        pass


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, ["0", "2", "10"]), ({"CUDA_VISIBLE_DEVICES": "1, 3"}, ["1", "3"]), ({"CUDA_VISIBLE_DEVICES": "-1"}, [])],
)
def test_gpus_are_found_by_device_file_or_by_the_users_choice(
    tmp_path: Path, environment: dict[str, str], expected: list[str]
) -> None:
    for name in ("nvidia0", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "sda"):
        (tmp_path / name).touch()
    assert visible_gpus(environment, tmp_path) == expected
