"""The coordinator's side of a sum: masks off the sum of what came, with the parts that enough centers gave out."""

from collections.abc import Collection, Mapping
from functools import reduce

from protocol.errors import SecureSumError
from protocol.messages.secure_sum import SumPlan
from strategies.secure_sum.center_side import OWN, PAIRS, own_mask, with_pair
from strategies.secure_sum.fixed_point import Values, Words, add, from_words, subtract
from strategies.secure_sum.keys import public_key
from strategies.secure_sum.secret_shares import combine

Revealed = Mapping[str, Mapping[str, Mapping[str, str]]]
"""Who answered -> center -> name of a secret of its -> the part of it, as hex."""


def unmask(
    masked: Mapping[str, Mapping[str, Words]],
    revealed: Revealed,
    plan: SumPlan,
    sharers: Collection[str],
    opened: Collection[str],
) -> dict[str, Values]:
    """Group -> the sum over the centers whose masked words came.

    Args:
        masked: center -> group -> y_i,g.
        revealed: what the centers gave out.
        plan: of the sum.
        sharers: the centers whose boxes went out, with which everybody made pairs.
        opened: the groups whose parts were given out.

    Raises:
        SecureSumError: too few gave out their parts, or parts that do not give the secret of a center that left.
    """
    gone = sorted(set(sharers) - masked.keys())
    pairs = {center: _pairs_secret(center, revealed, plan) for center in gone}
    own = {
        (center, group): _secret(center, OWN + group, revealed, plan) for center in sorted(masked) for group in opened
    }
    sums = {}
    for group in sorted(opened):
        total = reduce(add, (masked[center][group] for center in sorted(masked)))
        for center in sorted(masked):
            total = subtract(total, own_mask(own[center, group], plan, group, total.size))
            # What a center that left would have added for this pair, and with which the sum had been free of it.
            for left in gone:
                total = with_pair(total, pairs[left], left, center, plan, group)
        sums[group] = from_words(total)
    return sums


def _pairs_secret(center: str, revealed: Revealed, plan: SumPlan) -> bytes:
    secret = _secret(center, PAIRS, revealed, plan)
    if public_key(secret) != plan.keys[center].mask:
        raise SecureSumError(
            f"the parts that {sorted(revealed)} gave out are not of the secret of center '{center}', which left; one "
            "of them is not what was given"
        )
    return secret


def _secret(center: str, name: str, revealed: Revealed, plan: SumPlan) -> bytes:
    parts = {
        sender: bytes.fromhex(found[center][name])
        for sender, found in revealed.items()
        if sender in plan.keys and name in found.get(center, {})
    }
    return combine(parts, plan.centers, plan.threshold)
