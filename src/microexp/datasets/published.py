"""F1 of spotting as the field reports it (overall: both kinds pooled), for the tables.

`chosen_on_test` marks methods with an epoch or a threshold picked on the test subjects: their figures are no yardstick
for a value that was selected honestly.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedRow:
    """One method's published F1 (overall) on CAS(ME)^2 and SAMM Long Videos."""

    method: str
    cas_me2: float
    samm_lv: float
    chosen_on_test: bool


PUBLISHED = (
    PublishedRow("MDMD", 0.038, 0.045, False),
    PublishedRow("SOFTNet", 0.202, 0.188, True),
    PublishedRow("Concat-CNN", 0.202, 0.274, True),
    PublishedRow("TSMSNet", 0.247, 0.221, True),
    PublishedRow("LSSNet", 0.325, 0.238, True),
    PublishedRow("OF-FD", 0.344, 0.364, False),
    PublishedRow("MTSN", 0.362, 0.287, True),
    PublishedRow("AUW-GCN", 0.383, 0.373, True),
    PublishedRow("LGSNet", 0.464, 0.388, True),
)
