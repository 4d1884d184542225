from __future__ import annotations

import pytest
import torch

from microexp.errors import UserError
from microexp.run.devices import pick_device


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
