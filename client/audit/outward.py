"""An audit as a center hands it on: without attacks on few patients, and without digits that tell one from another.

    attack      leaves where it scored at least `minimum_cases` members, and as many others; else its name alone does
    figure      rounded to two decimals; numbers of patients stay as they are

The mean times n before and after one patient joins gives what was found of that patient, and so does AUC x members x
others. Whether a file may follow an earlier one is `handed_on`'s to say.
"""

from collections.abc import Mapping

from protocol.messages.audit import Attack, Audit, Mean, Share

DECIMALS = 2


def to_hand_on(audit: Audit, minimum_cases: int) -> Audit:
    """The audit that may leave.

    Args:
        audit: as the center has it.
        minimum_cases: fewest patients of either kind behind an attack.
    """
    leaving = tuple(each for each in audit.attacks if min(each.members, each.others) >= minimum_cases)
    kept = tuple(each.attack for each in audit.attacks if min(each.members, each.others) < minimum_cases)
    return audit.model_copy(update={"attacks": tuple(map(_round_attack, leaving)), "suppressed": kept})


def _round_attack(attack: Attack) -> Attack:
    rounded: Mapping[str, float | Share | Mean | None] = {
        "auc": _round(attack.auc),
        "auc_low": _round(attack.auc_low),
        "auc_high": _round(attack.auc_high),
        "told": _round_share(attack.told),
        "mistaken": _round_share(attack.mistaken),
        "error_of_members": _round_mean(attack.error_of_members),
        "error_of_others": _round_mean(attack.error_of_others),
    }
    return attack.model_copy(update=rounded)


def _round(figure: float | None) -> float | None:
    return None if figure is None else round(figure, DECIMALS)


def _round_share(share: Share | None) -> Share | None:
    ends = {} if share is None else {"low": _round(share.low), "high": _round(share.high)}
    return None if share is None else share.model_copy(update=ends)


def _round_mean(mean: Mean | None) -> Mean | None:
    if mean is None:
        return None
    return Mean(value=round(mean.value, DECIMALS), low=round(mean.low, DECIMALS), high=round(mean.high, DECIMALS))
