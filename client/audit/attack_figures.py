"""Figures of an attack as they are kept, shown and handed on."""

from protocol.messages.audit import Attack, AttackName, Mean, Share
from strategies.evaluation.membership import AttackFigures, Count, GroupMeans
from strategies.evaluation.resampling import Interval


def as_attack(name: AttackName, figures: AttackFigures, errors: GroupMeans | None = None) -> Attack:
    """The figures of an attack.

    Args:
        name: of the attack.
        figures: how well it tells members.
        errors: how badly it reconstructs them and the others; None where it reconstructs nobody.
    """
    low = figures.low_false_positives
    return Attack(
        attack=name,
        members=figures.members,
        others=figures.others,
        undefined=figures.undefined,
        auc=figures.auc.value,
        auc_low=figures.auc.low,
        auc_high=figures.auc.high,
        one_percent=None if low is None else low.is_one_percent,
        told=None if low is None else _share(low.told),
        mistaken=None if low is None else _share(low.mistaken),
        error_of_members=None if errors is None else _mean(errors.members),
        error_of_others=None if errors is None else _mean(errors.others),
        reason=figures.reason,
    )


def _share(count: Count) -> Share:
    return Share(found=count.found, of=count.of, low=count.share.low or 0.0, high=count.share.high or 0.0)


def _mean(found: Interval) -> Mean | None:
    if found.value is None or found.low is None or found.high is None:
        return None
    return Mean(value=found.value, low=found.low, high=found.high)
