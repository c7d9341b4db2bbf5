"""What a center's own page says of what adapters give away: the attacks that it tried on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from protocol.messages.audit import Attack, Audit
from reporting import formats

LABELS = {
    "likelihood-ratio": "Likelihood ratio",
    "loss-threshold": "Loss threshold",
    "gram-sketch": "Gram sketch",
    "prototype-ct": "Prototype of CT",
    "prototype-pet": "Prototype of PET",
}


@dataclass(frozen=True)
class AttackLine:
    """One attack: AUC with its interval, whom it was tried on, and whom it told."""

    name: str
    auc: str
    patients: str
    told: str


@dataclass(frozen=True)
class AuditSection:
    """The audits of a center, as the page shows them: title and lines of each."""

    audits: tuple[tuple[str, tuple[AttackLine, ...]], ...]
    template: ClassVar[str] = "audit_section.html"


def audit_section(audits: Sequence[Audit]) -> list[AuditSection]:
    """The section; none where nothing was audited."""
    shown = tuple((_title(audit), tuple(attack_line(attack) for attack in audit.attacks)) for audit in audits)
    return [AuditSection(shown)] if shown else []


def attack_line(attack: Attack) -> AttackLine:
    """An attack in words."""
    interval = {"value": attack.auc, "low": attack.auc_low, "high": attack.auc_high}
    without = f", {attack.undefined} without a score" if attack.undefined else ""
    return AttackLine(
        LABELS[attack.attack],
        formats.figure_interval(interval, 2),
        f"{attack.members} who trained, {attack.others} who did not{without}",
        _told(attack),
    )


def _told(attack: Attack) -> str:
    if attack.told is None or attack.mistaken is None:
        return attack.reason
    told, mistaken = attack.told, attack.mistaken
    shares = f"{told.found} of {told.of} [{formats.share(told.low)}, {formats.share(told.high)}]"
    if attack.one_percent:
        return f"{shares} where {mistaken.found} of {mistaken.of} others are mistaken"
    return (
        f"{shares} where none of {mistaken.of} others is mistaken, a rate of up to {formats.share(mistaken.high)}; "
        "one of 1 % needs 100"
    )


def _title(audit: Audit) -> str:
    private = ", trained privately" if audit.private else ""
    shadows = f"{audit.shadows} shadows of {audit.steps} steps{private}"
    return f"{audit.reference}, {audit.task}: {shadows}"
