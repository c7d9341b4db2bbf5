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

UNITS = {
    "gram-sketch": ("share of a patient's inputs that is not spanned", 4),
    "prototype-ct": ("standard deviations", 2),
    "prototype-pet": ("standard deviations", 2),
}
"""Statistic -> what its reconstruction error is counted in, and to how many digits."""
NOT_SENT = "Of a private study no Gram sketch and no prototype leaves, so none was attacked."
ANSWERS = {"compared": "it was compared", "leak": "it was not compared, and the coordinator heard leak"}


@dataclass(frozen=True)
class AttackLine:
    """One attack: AUC with its interval, whom it was tried on, whom it told, and how badly it reconstructs them."""

    name: str
    auc: str
    patients: str
    told: str
    error: str


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
        _error(attack),
    )


def _error(attack: Attack) -> str:
    """Reconstruction error of both groups; nothing where nobody is reconstructed."""
    if attack.error_of_members is None or attack.error_of_others is None:
        return ""
    unit, decimals = UNITS[attack.attack]
    members, others = (
        formats.figure_interval({"value": mean.value, "low": mean.low, "high": mean.high}, decimals)
        for mean in (attack.error_of_members, attack.error_of_others)
    )
    return f"{members} who trained, {others} who did not; {unit}"


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
    if audit.answered is not None:
        return f"{audit.reference}, {audit.task}: {ANSWERS[audit.answered]}"
    private = f", trained privately. {NOT_SENT}" if audit.private else ""
    return f"{audit.reference}, {audit.task}: {audit.shadows} shadows of {audit.steps} steps{private}"
