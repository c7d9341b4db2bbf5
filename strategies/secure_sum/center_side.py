"""A center's side of a sum: secrets, their shares, the mask, and what takes masks off; pure but for its draws.

    y_i,g = x_i,g + stream(b_i,g) + sum_(j > i) stream(s_ij,g) - sum_(j < i) stream(s_ij,g)      mod 2^48

g is a group of tensors, x_i,g what center i has of it, s_ij,g what i and j have in common (a sum over all centers
loses it) and b_i,g a secret of i alone, one for each group. Of a center whose y came, parts of b_i,g are given out; of
one that did not, parts of the secret behind its s_ij. Never both, and b_i,g only of groups that enough centers stand
behind: without it y_i,g, and every sum with it in it, is random.

Bonawitz et al. 2017, sections 4 and 6; the secret for each group is this project's.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from protocol.errors import SecureSumError
from protocol.messages.secure_sum import AdvertisedKeys, SumPlan
from strategies.secure_sum.fixed_point import Values, Words, add, subtract, to_words
from strategies.secure_sum.keys import SECRET_BYTES, common_key, derive, draw_secret, public_key, stream
from strategies.secure_sum.secret_shares import Shares, seal, split, unseal

logger = logging.getLogger(__name__)

MOST_OPENED = 2 / 3 + 1e-9
"""The largest share of one center of the weight of a sum that is opened."""

PAIRS, OWN = "pairs", "own:"
"""Names of shared secrets: that behind a center's public key for masks, and its own of a group."""


@dataclass(frozen=True)
class OwnSecrets:
    """What a center draws for one sum; never written to a disk.

    pairs, box: behind its two public keys. masks: from which every b_i,g comes; it alone is never shared.
    """

    pairs: bytes = field(repr=False, default_factory=draw_secret)
    box: bytes = field(repr=False, default_factory=draw_secret)
    masks: bytes = field(repr=False, default_factory=draw_secret)

    @property
    def keys(self) -> AdvertisedKeys:
        """The public keys, still without a signature."""
        return AdvertisedKeys(mask=public_key(self.pairs), box=public_key(self.box))

    def own(self, group: str) -> bytes:
        """b_i,g; who learns that of one group learns that of no other."""
        return derive(self.masks, "own", group)[:SECRET_BYTES]


def share_secrets(secrets: OwnSecrets, center: str, plan: SumPlan) -> tuple[dict[str, str], Shares]:
    """A sealed box for each other center, and the center's own parts.

    Raises:
        SecureSumError: a public key of the plan is none.
    """
    named = {PAIRS: secrets.pairs, **{OWN + group: secrets.own(group) for group in plan.weights}}
    parts = {name: split(secret, plan.centers, plan.threshold) for name, secret in named.items()}
    of = {peer: {name: shares[peer] for name, shares in parts.items()} for peer in plan.centers}
    boxes = {
        peer: seal(of[peer], common_key(secrets.box, plan.keys[peer].box, plan.digest, center, peer))
        for peer in plan.centers
        if peer != center
    }
    return boxes, of[center]


def open_boxes(secrets: OwnSecrets, center: str, plan: SumPlan, boxes: Mapping[str, str]) -> dict[str, Shares]:
    """Sender -> its parts for this center; none where its box does not open, so that it keeps nobody out of the sum.

    Raises:
        SecureSumError: a box is of nobody in the plan.
    """
    if strangers := sorted(boxes.keys() - plan.keys.keys() - {center}):
        raise SecureSumError(f"boxes came from {strangers}, expected only from {list(plan.centers)}")
    return {peer: _open(box, secrets, center, peer, plan) for peer, box in sorted(boxes.items())}


def _open(box: str, secrets: OwnSecrets, center: str, peer: str, plan: SumPlan) -> Shares:
    try:
        return unseal(box, common_key(secrets.box, plan.keys[peer].box, plan.digest, peer, center))
    except SecureSumError as error:
        logger.warning("center '%s': of center '%s', %s", center, peer, error)
        return {}


def mask(
    values: Mapping[str, Values], secrets: OwnSecrets, center: str, plan: SumPlan, peers: Collection[str]
) -> dict[str, Words]:
    """y_i,g of each group.

    Args:
        values: group -> x_i,g.
        secrets: the center's.
        center: who it is.
        plan: of the sum.
        peers: the other centers whose boxes came.

    Raises:
        SecureSumError: a number cannot be summed.
    """
    masked = {}
    for group, numbers in sorted(values.items()):
        words = add(to_words(numbers), own_mask(secrets.own(group), plan, group, numbers.size))
        for peer in sorted(peers):
            words = with_pair(words, secrets.pairs, center, peer, plan, group)
        masked[group] = words
    return masked


def own_mask(secret: bytes, plan: SumPlan, group: str, size: int) -> Words:
    """stream(b_i,g)."""
    return stream(derive(secret, "mask", plan.digest, group), size)


def with_pair(words: Words, secret: bytes, center: str, peer: str, plan: SumPlan, group: str) -> Words:
    """Words with stream(s_ij,g) as center i, whose `secret` it is, adds it with its sign."""
    key = common_key(secret, plan.keys[peer].mask, plan.digest, "pair", group)
    pair = stream(key, words.size)
    return add(words, pair) if center < peer else subtract(words, pair)


def open_groups(plan: SumPlan, groups: Mapping[str, Collection[str]], fewest: int) -> tuple[str, ...]:
    """The groups of a plan that at least `fewest` of the centers that may stand behind them do stand behind.

    None of them may have more than MOST_OPENED of the agreed weight of those that do: others may have left.

    Args:
        plan: of the sum.
        groups: center whose masked tensors came -> the groups in which it has cases.
        fewest: k.
    """
    behind = {
        group: [weight for center, weight in allowed.items() if group in groups.get(center, ())]
        for group, allowed in plan.weights.items()
    }
    return tuple(
        sorted(
            group
            for group, weights in behind.items()
            if len(weights) >= fewest and max(weights) <= MOST_OPENED * sum(weights)
        )
    )


def reveal(
    held: Mapping[str, Shares], survivors: Collection[str], opened: Collection[str]
) -> dict[str, dict[str, str]]:
    """The parts that take the masks off a sum.

    Args:
        held: center -> its parts that this center holds, its own among them.
        survivors: the centers whose masked tensors came; the secret behind the masks of all others is given out.
        opened: the groups whose sum may be seen.
    """
    names = {center: [OWN + group for group in opened] if center in survivors else [PAIRS] for center in held}
    return {
        center: {name: held[center][name].hex() for name in names[center] if name in held[center]}
        for center in sorted(held)
    }
