"""What mixes the tokens of a block: a selective scan, or the referee's convolution of as many weights."""

from collections.abc import Mapping
from typing import Protocol

from torch import nn

from fusion_models.ssm.gated_cnn import MapCnn, SequenceCnn
from fusion_models.ssm.s6 import S6
from fusion_models.ssm.vss import SS2D, MapMixerClass


class SequenceMixerClass(Protocol):
    """Builds a mixer of tokens (b, l, width); `state` and `rank` are those of the scan that it is or stands for."""

    def __call__(self, width: int, *, state: int, rank: int) -> nn.Module:
        """The mixer, freshly drawn."""
        ...


MAP_MIXERS: Mapping[str, MapMixerClass] = {"scan": SS2D, "gated-cnn": MapCnn}
SEQUENCE_MIXERS: Mapping[str, SequenceMixerClass] = {"scan": S6, "gated-cnn": SequenceCnn}
"""Of the same names."""


def check_mixer(name: str) -> None:
    """Refuse a mixer that no table has.

    Raises:
        ValueError: with those they have.
    """
    if name not in MAP_MIXERS:
        raise ValueError(f"unknown mixer '{name}'; known: {sorted(MAP_MIXERS)}")
