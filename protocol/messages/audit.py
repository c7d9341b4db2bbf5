"""What an audit found at a center, in aggregate: no case and no score of one; a file that a center may hand on.

{"schema": 1, ..., "seal": SHA-256}
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from protocol.errors import CaseError
from protocol.messages.base import Fraction, NonNegative, Settings
from protocol.storage.atomic_files import write_private
from protocol.storage.regular_files import read_whole
from protocol.storage.sealed_json import seal, unseal
from protocol.tasks import TaskName

SCHEMA = 1
AttackName = Literal["likelihood-ratio", "loss-threshold", "gram-sketch", "prototype-ct", "prototype-pet"]
Answer = Literal["compared", "leak"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(max_length=200)]


class Share(Settings):
    """`found` of `of`, the share and its 95 % interval."""

    found: NonNegativeInt
    of: PositiveInt
    low: Fraction
    high: Fraction


class Mean(Settings):
    """A mean over patients and its 95 % interval."""

    value: NonNegative
    low: NonNegative
    high: NonNegative


class Attack(Settings):
    """How well one attack tells members (training patients) from others.

    undefined: patients without a score. auc: 0.5 is chance; None, with `reason`, where it cannot be judged. told:
    members told by a threshold that mistakes at most 1 % of the others (`one_percent`), or none of too few.
    error_of_members, error_of_others: how far from a patient what a statistic says of him is: of a Gram sketch the
    share of his inputs' energy that it does not span, of a prototype standard deviations; None where nothing is
    reconstructed.
    """

    attack: AttackName
    members: NonNegativeInt
    others: NonNegativeInt
    undefined: NonNegativeInt
    auc: Fraction | None
    auc_low: Fraction | None
    auc_high: Fraction | None
    one_percent: bool | None = None
    told: Share | None = None
    mistaken: Share | None = None
    error_of_members: Mean | None = None
    error_of_others: Mean | None = None
    reason: str = ""


class Audit(Settings):
    """One adapter at one center. shadows, steps: behind the likelihood ratio; private: whether its study trains so.

    reference, adapter_sha256, backbone_sha256: of the adapter, as its bank names them. answered: what the coordinator
    heard of a candidate that it asked to compare; None where the center audited of its own accord. suppressed: attacks
    that the center tried and withholds, since too few patients stand behind them; their names alone are there
    (`protocol.messages.suppression`).
    """

    schema_: Literal[1] = Field(default=1, alias="schema")
    center: Name
    study: Name
    reference: Name
    adapter_sha256: Digest
    backbone_sha256: Digest
    task: TaskName
    shadows: NonNegativeInt
    steps: NonNegativeInt
    private: bool
    attacks: tuple[Attack, ...]
    answered: Answer | None = None
    suppressed: tuple[AttackName, ...] = ()

    @model_validator(mode="after")
    def _withhold_or_give(self) -> Self:
        both = sorted({attack.attack for attack in self.attacks} & {*self.suppressed})
        if both:
            raise ValueError(f"attacks {both} are suppressed and given as well, expected one of the two")
        return self


def sealed_audit(audit: Audit) -> bytes:
    """The content of the file that `write_audit` writes."""
    return seal(audit.model_dump(mode="json", by_alias=True))


def write_audit(path: Path, audit: Audit) -> None:
    """Write an audit for somebody else to read.

    Raises:
        StorageError: the disk refuses.
    """
    write_private(path, sealed_audit(audit))


def read_audit(path: Path) -> Audit:
    """An audit that a center handed on.

    Raises:
        CaseError: there is none at `path`, or it is not as it was written.
    """
    try:
        return Audit.model_validate(unseal(read_whole(path)))
    except (OSError, ValueError, TypeError, ValidationError) as error:
        raise CaseError(
            f"audit {path} cannot be read ({error}); give the file that `concilium-center audit --out` wrote, unchanged"
        ) from error
