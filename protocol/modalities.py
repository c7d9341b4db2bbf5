"""What a center may have of a patient, and the inputs that can be made of it: the one place that spells them.

A setting names the modalities that a forward pass is given, joined by `+`; fewest modalities first.
"""

from collections.abc import Iterable
from typing import Literal

Image = Literal["ct", "pet"]
Modality = Literal["ct", "pet", "ehr"]
ModalitySetting = Literal["ct", "pet", "ehr", "ct+pet", "ct+ehr", "pet+ehr", "ct+pet+ehr"]

MODALITIES: tuple[Modality, ...] = ("ct", "pet", "ehr")
IMAGES: tuple[Image, ...] = ("ct", "pet")
SETTINGS: tuple[ModalitySetting, ...] = ("ct", "pet", "ehr", "ct+pet", "ct+ehr", "pet+ehr", "ct+pet+ehr")


def parts_of(setting: str) -> frozenset[str]:
    """The modalities that a setting names."""
    return frozenset(setting.split("+"))


def modalities_in(setting: str) -> tuple[Modality, ...]:
    """The modalities that a setting names, in the order of `MODALITIES`."""
    return tuple(modality for modality in MODALITIES if modality in parts_of(setting))


def settings_within(modalities: Iterable[str]) -> tuple[ModalitySetting, ...]:
    """The settings that can be made of some modalities, the fullest one last."""
    present = set(modalities)
    return tuple(setting for setting in SETTINGS if parts_of(setting) <= present)
