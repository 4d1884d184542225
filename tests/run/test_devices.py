from __future__ import annotations

from pathlib import Path

import pytest
import torch

from microexp.errors import UserError
from microexp.run import devices
from microexp.run.devices import cpu_flags, pick_device, warn_if_slow


def test_devices_that_are_here_have_their_name() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["cuda:99", "cudafoo", "cuda:", "toaster", ""])
def test_devices_that_are_not_here_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"--device: got '.*', expected auto, cpu, or a GPU that torch sees"):
        pick_device(name)


def test_a_gpu_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(pick_device(n)) for n in ("auto", "cuda", "cuda:1")] == ["cuda", "cuda", "cuda:1"]
    with pytest.raises(UserError, match="torch sees cuda:0, cuda:1 here"):
        pick_device("cuda:2")


@pytest.mark.parametrize(("flags", "told"), [("fpu avx2", True), ("fpu avx512_bf16", False), ("amx_bf16 fpu", False)])
def test_a_cpu_without_bfloat16_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flags: str, told: bool
) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor : 0\nflags\t\t: {flags}\nprocessor : 1\nflags : nothing\n")
    found = cpu_flags(info)
    assert found == set(flags.split())
    monkeypatch.setattr(devices, "cpu_flags", lambda: found)
    warn_if_slow("i3d", "mixed_precision: false")
    assert ("i3d: this CPU has no instructions for bfloat16" in capsys.readouterr().err) == told


def test_a_system_that_does_not_tell_what_its_cpu_can_do(tmp_path: Path) -> None:
    assert cpu_flags(tmp_path / "none") == set()
