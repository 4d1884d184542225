"""The network: three layers that see the whole map; three answers per action unit."""

from __future__ import annotations

from torch import Tensor, nn

ANSWERS = 3
"""Of each unit: shown at all, on the face's own left, on its right."""


class UnitNetwork(nn.Module):
    """(N, 2, 28, 28) u, v of root mean square 1 -> (N, units, 3) logits.

    A face and its mirror image are the same face: logits are the mean over both, sides exchanged. Position matters, so
    every unit of the first layer sees the whole map, averaged to 14 x 14.
    """

    def __init__(self, units: int, hidden: tuple[int, int] = (384, 256)) -> None:
        super().__init__()
        first, second = hidden
        self.layers = nn.Sequential(
            nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(0.1),
            nn.Linear(2 * 14 * 14, first), nn.BatchNorm1d(first), nn.ReLU(), nn.Dropout(0.3),
            nn.Linear(first, second), nn.BatchNorm1d(second), nn.ReLU(), nn.Dropout(0.3),
            nn.Linear(second, units * ANSWERS),
        )  # fmt: skip

    def one(self, maps: Tensor) -> Tensor:
        """Logits (N, units, 3) of the maps as they are."""
        answers: Tensor = self.layers(maps.clamp(-5, 5))
        return answers.reshape(len(maps), -1, ANSWERS)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits (N, units, 3), mean over each map and its mirror image."""
        other = self.one(mirrored(maps))
        return (self.one(maps) + other[..., [0, 2, 1]]) / 2


def mirrored(maps: Tensor) -> Tensor:
    """The mirror images of (N, 2, h, w) maps of u, v: the face's left and right exchanged."""
    return maps.flip(-1) * maps.new_tensor([-1.0, 1.0]).reshape(1, 2, 1, 1)
