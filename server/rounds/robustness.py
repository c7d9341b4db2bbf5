"""What the updates of a round weigh under the study's robust rule, in the place of their shares of a plain mean."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from protocol.errors import QuorumError
from protocol.messages.payload import Payload
from protocol.messages.settings import Robust
from protocol.messages.tensors import Tensors
from strategies.aggregation.contract import Base
from strategies.robust.contract import Compared
from strategies.robust.product_space import Products, products_by_group
from strategies.robust.rules import RULES
from strategies.shares import capped_shares

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Weighed:
    """How a round is to be aggregated.

    base: with weights, and what takes the mean. lengths: center -> tensor group -> what its update is multiplied with.
    figures: to log, `share/GROUP/CENTER`.
    """

    base: Base
    lengths: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)


def weigh_updates(shared: Tensors, read: Callable[[], Iterable[Payload]], base: Base, robust: Robust) -> Weighed:
    """Weigh a round's updates by a robust rule, group by group.

    A group that fewer centers have cases for than the rule needs stands still in the round.

    Args:
        shared: the state the round started from.
        read: gives the payloads that count, in the order of names.
        base: of the round, with the weights of a plain mean.
        robust: the rule.

    Raises:
        QuorumError: too few centers sent updates for the rule, or the reference did not.
        PayloadError: as `products_by_group` says.
    """
    rule = RULES[robust.rule]
    found = products_by_group(shared, read(), base)
    _check_centers({name for products in found.values() for name in products.centers}, robust)
    weights, lengths, figures = dict(base.weights), dict[str, dict[str, float]](), dict[str, float]()
    for group, products in found.items():
        if len(products.centers) < rule.fewest(robust.liars) or (
            rule.referenced and robust.reference not in products.centers
        ):
            logger.warning("group '%s' stands still: '%s' cannot tell with %s", group, robust.rule, products.centers)
            weights[group] = {}
            continue
        weighing = rule.weigh(_compared(products, base.weights[group], robust))
        weights[group] = dict(zip(products.centers, weighing.weights.tolist(), strict=True))
        figures |= {f"share/{group}/{center}": weight for center, weight in weights[group].items()}
        for center, length in zip(products.centers, weighing.lengths.tolist(), strict=True):
            if length != 1:
                lengths.setdefault(center, {})[group] = length
    average = base.average if rule.average is None else partial(rule.average, robust.liars)
    return Weighed(replace(base, weights=weights, average=average), lengths, figures)


def largest_share(liars: int) -> float:
    """The most one center has before a rule looks: so many together have less than a half."""
    return 1 / (2 * liars + 1)


def _compared(products: Products, weights: Mapping[str, float], robust: Robust) -> Compared:
    shares = capped_shares({center: weights[center] for center in products.centers}, largest_share(robust.liars))
    reference = products.centers.index(robust.reference) if robust.reference in products.centers else None
    return Compared(products.values, np.array([shares[center] for center in products.centers]), robust.liars, reference)


def _check_centers(centers: set[str], robust: Robust) -> None:
    needed = RULES[robust.rule].fewest(robust.liars)
    if len(centers) < needed:
        raise QuorumError(
            f"robust rule '{robust.rule}' with {robust.liars} liar(s) needs the updates of {needed} centers, and "
            f"{len(centers)} came: {sorted(centers)}; the round before is kept; resume when more are back"
        )
    if RULES[robust.rule].referenced and robust.reference not in centers:
        raise QuorumError(
            f"robust rule '{robust.rule}' holds updates against those of center '{robust.reference}', which sent none; "
            "the round before is kept; resume when it is back"
        )
