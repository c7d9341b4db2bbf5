"""What loads a public checkpoint into a model's CT network, and what it says of each tensor of the file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class CheckpointReport:
    """What became of each tensor of a file, by the file's names.

    used: loaded. ignored: no part of the network. skipped: of another size here; the network keeps its own.
    ignored_as, skipped_as: what these are, in words.
    """

    used: tuple[str, ...]
    ignored: tuple[str, ...]
    skipped: tuple[str, ...]
    ignored_as: str = "the classifier"
    skipped_as: str = "for other inputs"


PublicWeights = Callable[[nn.Module, Mapping[str, Any], Sequence[str]], CheckpointReport]
"""Called with a model without adapters, the content of a file, and the module prefixes of its pathways, which no public
file has; loads all that fits or nothing, and raises ValueError naming what was found and expected."""
