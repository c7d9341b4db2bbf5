"""What coordinator and centers say to each other to sum without showing what is summed.

    advertise   instruction -> keys           each center draws keys for this round; its node signs them
    share       keys, roster -> boxes         parts of its secrets for each other center, sealed for that center
    train       boxes -> masked tensors       what it trained, masked; its node signs what stands in it
    unmask      survivors -> shares           parts of what takes the masks off the sum, and off nothing else

Where scores are summed, `evaluate` and `compare` stand in the place of `train`, with masked rows in the text of the
reply (`strategies.secure_sum.score_rows`); every phase says of which of the three it is.

Bonawitz et al. 2017, Practical Secure Aggregation for Privacy-Preserving Machine Learning, figure 4, and Bell et al.
2020 (SecAgg+) with its graph complete, as tens of centers allow. What is asked in the first two and the last carries no
tensors.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from protocol.messages.payload import Hash
from protocol.messages.tensors import Tensors, content_hash
from protocol.messages.text import STRICT
from protocol.names import CenterName
from protocol.plain_text import Label
from protocol.tasks import TaskName

MOST, MOST_ROWS = 64, 256
"""Centers of one sum (`strategies.secure_sum.fixed_point`), and its rows."""
Purpose = Literal["train", "evaluate", "compare"]
RowName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9._+/]{0,79}$")]
"""A group of tensors, the loss, or a figure: its setting and its name."""
MaskedRow = Annotated[str, Field(pattern=r"^([0-9a-f]{12}){1,8}$")]
PublicKey = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Digest = PublicKey
Signature = Annotated[str, Field(pattern=r"^([0-9a-f]{2}){0,160}$")]
Box = Annotated[str, Field(pattern=r"^([0-9a-f]{2})+$", max_length=1 << 17)]
Part = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
OpenSshLine = Annotated[str, Field(max_length=400)]
Weight = Annotated[float, Field(gt=0, le=1e12)]


@dataclass(frozen=True)
class Roster:
    """The centers of a study with the public keys that they enrolled, signed by the study's authority.

    issued: when, in seconds since 1970; a center takes none that is older than one it has seen.
    """

    __pydantic_config__ = STRICT

    study: str = ""
    keys: Annotated[Mapping[CenterName, OpenSshLine], Field(max_length=1024)] = field(default_factory=dict)
    issued: Annotated[int, Field(ge=0)] = 0
    signature: Signature = ""


@dataclass(frozen=True)
class AdvertisedKeys:
    """A center's public keys for one round: for masks and for boxes; signature: of its enrolled key."""

    __pydantic_config__ = STRICT

    mask: PublicKey
    box: PublicKey
    signature: Signature = ""


@dataclass(frozen=True)
class Contribution:
    """The groups of tensors in which a center has cases in a round; signature: of its enrolled key.

    Who has cases of a group is told, how many are not: on it stands which sums may be opened. digest: of the plan.
    """

    __pydantic_config__ = STRICT

    digest: Digest
    groups: Annotated[tuple[RowName, ...], Field(max_length=MOST_ROWS)] = ()
    signature: Signature = ""


Weights = Mapping[RowName, Mapping[CenterName, Weight]]


@dataclass(frozen=True)
class Harm:
    """When a center counts as harmed by a candidate: d + z s < limit, d its difference and s the standard error."""

    __pydantic_config__ = STRICT

    limit: Annotated[float, Field(ge=-2, le=0)]
    z: Annotated[float, Field(ge=0, le=10)] = 0.0


@dataclass(frozen=True)
class SumPlan:
    """What all centers of a sum must see alike; everything of a sum is bound to its `digest`.

    scheme: the aggregation scheme, in whose coordinates is summed. exponent: a of the weight n^a. keys: of the centers
    that take part. weights: group -> center -> the most that it weighs there, of the centers whose cases may reach the
    group. state: `state_digest` of what every center trains from, or is asked about. harm: of a sum of comparisons.

    Of a sum of scores or comparisons the scheme is `scheme_of_scores`, the exponent 0, and the weights are those that
    every center has, neither more nor less.
    """

    __pydantic_config__ = STRICT

    study: str
    stage: Label
    server_round: int
    state: Digest
    scheme: Label
    exponent: Annotated[float, Field(ge=0, le=8)]
    keys: Annotated[Mapping[CenterName, AdvertisedKeys], Field(max_length=MOST)]
    weights: Annotated[Weights, Field(max_length=MOST_ROWS)]
    harm: Harm | None = None

    @property
    def centers(self) -> tuple[str, ...]:
        """Who takes part, sorted."""
        return tuple(sorted(self.keys))

    @property
    def threshold(self) -> int:
        """How many parts give a secret back: more than two thirds.

        A coordinator that tells some centers that another one is there and the rest that it left needs more than n of
        n centers for both of its secrets, unless n / 3 of them are with it.
        """
        return 2 * len(self.keys) // 3 + 1

    @property
    def digest(self) -> str:
        """SHA-256 of the plan, as hex."""
        content = {**asdict(self), "keys": {center: (key.mask, key.box) for center, key in self.keys.items()}}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class SumRequest:
    """What an instruction asks of a sum; empty fields are not of its kind.

    of: what is summed. plan, roster: `share`. boxes: of what is summed, sender -> what it sealed for the center.
    survivors: `unmask`.
    """

    __pydantic_config__ = STRICT

    of: Purpose = "train"
    plan: SumPlan | None = None
    roster: Roster | None = None
    boxes: Annotated[Mapping[CenterName, Box], Field(max_length=MOST)] = field(default_factory=dict)
    survivors: Annotated[Mapping[CenterName, Contribution], Field(max_length=MOST)] = field(default_factory=dict)


@dataclass(frozen=True)
class SumAnswer:
    """What a reply brings for a sum; empty fields are not of its kind.

    keys: `advertise`. boxes: `share`, receiver -> what is sealed for it. contribution: `train`, `evaluate` and
    `compare`; rows: of the last two, figure -> its masked row. shares: `unmask`, center -> name of a secret of its ->
    the part of it.
    """

    __pydantic_config__ = STRICT

    keys: AdvertisedKeys | None = None
    boxes: Annotated[Mapping[CenterName, Box], Field(max_length=MOST)] = field(default_factory=dict)
    contribution: Contribution | None = None
    shares: Annotated[
        Mapping[CenterName, Annotated[Mapping[str, Part], Field(max_length=MOST_ROWS + 1)]], Field(max_length=MOST)
    ] = field(default_factory=dict)
    rows: Annotated[Mapping[RowName, MaskedRow], Field(max_length=MOST_ROWS)] = field(default_factory=dict)


def scheme_of_scores(of: Purpose, task: TaskName) -> str:
    """What stands in a plan for the scheme where no tensors are summed; no aggregation scheme has such a name.

    A comparison is of one task's metric, and every center must be asked for the same; a row of scores is of all tasks.
    """
    return f"({of} {task})" if of == "compare" else f"({of})"


def state_digest(tensors: Tensors, reference: Tensors, backbone_hash: Hash) -> str:
    """SHA-256 of what a round begins from, as hex.

    A coordinator that sent one center the study's state and all others zeros would see that center's update in the sum
    (Pasquini, Francati and Ateniese 2022, Eluding Secure Aggregation in Federated Learning via Model Inconsistency).
    """
    parts = (content_hash(tensors), content_hash(reference), backbone_hash)
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def keys_statement(
    study: str, stage: str, server_round: int, center: str, keys: AdvertisedKeys, of: Purpose = "train"
) -> bytes:
    """What a center signs of its keys for a round, or for one sum of its scores."""
    place = {"study": study, "stage": stage, "round": server_round} | ({} if of == "train" else {"of": of})
    content = {**place, "center": center, "keys": [keys.mask, keys.box]}
    return b"concilium-sum-keys\n" + json.dumps(content, sort_keys=True).encode()


def contribution_statement(center: str, contribution: Contribution) -> bytes:
    """What a center signs of its masked tensors."""
    content = {"sum": contribution.digest, "center": center, "groups": sorted(contribution.groups)}
    return b"concilium-sum-contribution\n" + json.dumps(content, sort_keys=True).encode()


def roster_statement(roster: Roster) -> bytes:
    """What the authority signs."""
    content = {"study": roster.study, "keys": dict(roster.keys), "issued": roster.issued}
    return b"concilium-roster\n" + json.dumps(content, sort_keys=True).encode()
