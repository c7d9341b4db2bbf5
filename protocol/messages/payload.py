"""What a center sends after training, checked whole before any arithmetic touches it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from protocol.messages.facts import MAXIMUM_CASES
from protocol.messages.tensors import Tensors, content_hash, is_statistic, role_of
from protocol.messages.text import STRICT, Beside
from protocol.names import OptionalCenterName
from protocol.plain_text import Label

Hash = Annotated[str, Field(pattern=r"^[0-9a-z]{0,64}$")]
MAXIMUM_ROUND = 1_000_000
"""At a round a minute, two years of them."""
Round = Annotated[int, Field(ge=0, le=MAXIMUM_ROUND)]
Group = Annotated[str, Field(pattern=r"^[a-z][a-z._]{0,39}$")]
Support = Annotated[Mapping[Group, Annotated[int, Field(ge=0, le=MAXIMUM_CASES)]], Field(max_length=32)]


@dataclass(frozen=True)
class Payload:
    """Tensors of one center after one round.

    `backbone_hash` is the content hash of the backbone the center started from; `support` counts, per tensor
    group, the training cases whose forward pass really used that group. A center without PET has no PET tensors.
    `phase` names the adapter roles that trained; `frozen_hash` is the content hash, after training, of everything else
    that was received (`frozen_hash`), so that a factor that moved unasked cannot hide.
    """

    __pydantic_config__ = STRICT

    center: OptionalCenterName
    backbone_hash: Hash
    stage: Label
    server_round: Round
    tensors: Beside = field(default_factory=dict)
    support: Support = field(default_factory=dict)
    phase: Annotated[str, Field(pattern=r"^[a-z_+]{0,80}$")] = ""
    frozen_hash: Hash = ""


def phase_of(roles: Iterable[str]) -> str:
    """The name of a phase: the adapter roles that train in it."""
    return "+".join(sorted(roles))


def frozen_hash(received: Tensors, now: Tensors, trained: Iterable[str]) -> str:
    """Content hash of what a round must leave alone, with the values it has `now`.

    Args:
        received: what the center was sent, backbone aside; says which keys count.
        now: the same keys' current values; `received` itself at the coordinator.
        trained: keys the round trains. DoRA magnitudes are left out too: outside their phase they follow the factors.
    """
    moving = set(trained)
    kept = [key for key in received if key not in moving and not is_statistic(key) and role_of(key) != "magnitude"]
    return content_hash({key: now[key] for key in kept})
