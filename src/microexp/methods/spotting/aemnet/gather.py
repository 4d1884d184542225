"""Windows of features as tensors: by index from one table where all features fit in memory, else video by video."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from microexp.errors import UserError
from microexp.methods.spotting.aemnet.features import FeatureStore
from microexp.methods.spotting.aemnet.windows import Window


class WindowFeatures:
    """The features of many windows.

    Args:
        windows: all windows that are ever asked for.
        store: of their videos.
        length: features per window.
        device: where the tensors go.
    """

    def __init__(self, windows: Sequence[Window], store: FeatureStore, length: int, *, device: torch.device) -> None:
        self._windows, self._store, self._length, self._device = windows, store, length, device
        self._table: Tensor | None = None
        self._first: Tensor | None = None
        self._memory = torch.empty(0, device=device)
        if store.small:
            self._table = torch.from_numpy(store.table()).to(device)
            rows = np.stack([store.rows(w.video, w.start, length) for w in windows])
            self._rows = torch.from_numpy(rows).to(device)

    def vary(self, seeds: Sequence[int], epoch: int, amount: float) -> None:
        """From now on give what fits of these seeds see in an epoch (`augment.vary`), a fit after the other.

        Raises:
            UserError: when the features do not fit in memory.
        """
        if not self._store.small:
            problem = "augment: the features of all videos do not fit in memory"
            raise UserError(file="features", problem=problem, expected="fewer videos, or augment: 0")
        own = sorted(set(seeds))
        tables = [self._store.varied_table(seed, epoch, amount) for seed in own]
        self._table = torch.from_numpy(np.concatenate(tables)).to(self._device)
        self._first = torch.tensor([own.index(s) * len(tables[0]) for s in seeds], device=self._device)

    def __call__(self, chosen: np.ndarray, fits: slice | None = None) -> Tensor:
        """Windows `chosen` (G, B) of the fits `fits`, which matter after `vary` alone -> (G, B, W, C) float32.

        The next call may write to the same memory: taking a hundred megabytes from the system anew in each step costs
        more than filling them.
        """
        if self._table is not None:
            rows = self._rows[torch.from_numpy(chosen).to(self._device)]
            if self._first is not None and fits is not None:
                rows = rows + self._first[fits][:, None, None]
            if len(self._memory) < rows.numel():
                self._memory = self._table.new_empty(rows.numel(), self._table.shape[1])
            found = torch.index_select(self._table, 0, rows.view(-1), out=self._memory[: rows.numel()])
            return found.view(*rows.shape, -1)
        parts = [self._store.read(w.video, w.start, self._length) for w in map(self._windows.__getitem__, chosen.flat)]
        found = torch.from_numpy(np.stack(parts)).to(self._device)
        return found.view(*chosen.shape, *found.shape[1:])
