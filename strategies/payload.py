"""What a center sends after training, checked whole before any arithmetic touches it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from strategies.tensors import Tensors


@dataclass(frozen=True)
class Payload:
    """Tensors of one center after one round.

    `backbone_hash` is the content hash of the backbone the center started from; `support` counts, per tensor
    group, the training cases whose forward pass really used that group. A center without PET has no PET tensors.
    """

    center: str
    backbone_hash: str
    stage: str
    server_round: int
    tensors: Tensors
    support: Mapping[str, int] = field(default_factory=dict)
