"""A center's rows of a sum: what it trained, checked, in the coordinates of the scheme, weighed.

    w = min(n^a, W) / max_j W_j        n the center's cases behind a group, W its agreed most, j over the plan's centers

A group in which n^a < LEAST W it stays out of, as if it had no cases of it: then every weight of a sum is between
LEAST W and W, and what a plan shows of its centers' shares is true up to that factor, whatever exponent and W it has.

What is masked cannot be checked by anybody else any more, so that everything is checked here first: finite, and no
farther from where it began than the steps of a round can go (`protocol.local_steps`).
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from protocol.errors import SecureSumError
from protocol.local_steps import reach_of
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload, frozen_hash
from protocol.messages.secure_sum import SumPlan
from protocol.messages.settings import Training
from protocol.messages.tensors import BACKBONE, Tensors, TensorSpec
from protocol.validation import reach_findings
from strategies.aggregation.contract import Base
from strategies.aggregation.linear import Sent
from strategies.aggregation.schemes import SCHEMES
from strategies.secure_sum.fixed_point import Values
from strategies.secure_sum.layout import LEAST, LOSS, Layout, empty_row, loss_row, row_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Rows:
    """What one center adds to a sum.

    rows: group -> what is masked. groups: those in which there is something, the loss among them.
    """

    rows: Mapping[str, Values]
    groups: tuple[str, ...]


def check_reach(payload: Payload, instruction: Instruction, training: Training) -> None:
    """Refuse an update that no steps of the round can have made.

    Raises:
        NormError: a tensor moved farther.
    """
    reach = partial(reach_of, training, rounds_before=max(0, instruction.server_round - 1))
    for error, finding in reach_findings(payload, instruction.tensors, reach):
        raise error(f"center '{payload.center}': {finding}; nothing is masked")


def contribute(
    payload: Payload, loss: float | None, instruction: Instruction, plan: SumPlan, layout: Layout, frozen: Tensors
) -> Rows:
    """The rows of a payload that may leave.

    Args:
        payload: what was trained; has passed what decides on what may leave.
        loss: of the round; None where it stays.
        instruction: of the round.
        plan: of the sum.
        layout: what the round sums.
        frozen: the frozen backbone, where the scheme's coordinates need it.

    Raises:
        SecureSumError: the scheme has no such coordinates, or its groups are others than the plan's.
        PayloadError: a row gain of DoRA is too small.
    """
    scheme = SCHEMES.get(plan.scheme)
    if scheme is None or scheme.summed is None or plan.weights.keys() != {*layout, LOSS}:
        raise SecureSumError(
            f"a sum of groups {sorted(plan.weights)} for scheme '{plan.scheme}' was asked, this round has "
            f"{sorted((*layout, LOSS))} and a scheme that needs sums alone; nothing is masked"
        )
    settings, training = instruction.settings, instruction.training
    groups = {spec.key: spec.group for specs in layout.values() for spec in specs}
    roles = () if training is None else training.roles
    base = Base(groups, frozen, settings.adapter.alpha, settings.adapter.rank, roles=roles)
    supported = [group for group in layout if payload.support.get(group, 0) > 0 and _is_weighty(payload, group, plan)]
    live = {key: array for key, array in payload.tensors.items() if groups.get(key) in supported}
    summed = scheme.summed(instruction.tensors, base)
    coordinates = summed.encode(Sent(payload.center, live)) if live else {}
    rows = {
        group: row_of(specs, coordinates, weight_of(payload, group, plan), payload.support[group])
        if group in supported
        else empty_row(specs)
        for group, specs in layout.items()
    }
    of_loss = loss_row(loss)
    return Rows({**rows, LOSS: of_loss}, tuple(sorted((*supported, *([LOSS] if of_loss[1] else [])))))


def frozen_beside(
    payload: Payload, instruction: Instruction, specs: Iterable[TensorSpec], groups: Collection[str]
) -> str:
    """The hash of what stands still in a sum: a group that the center stays out of is in it as it was received.

    Args:
        payload: what the center trained; one whose own hash does not say that all else stood still keeps it.
        instruction: of the round.
        specs: every tensor the study may exchange.
        groups: those that the center contributes to.
    """
    group_of = {spec.key: spec.group for spec in specs}
    received = {key: array for key, array in instruction.tensors.items() if group_of.get(key) != BACKBONE}
    if payload.frozen_hash != frozen_hash(received, received, payload.tensors):
        return payload.frozen_hash
    return frozen_hash(received, received, (key for key in payload.tensors if group_of.get(key) in groups))


def _is_weighty(payload: Payload, group: str, plan: SumPlan) -> bool:
    found, most = float(payload.support[group]) ** plan.exponent, _most(payload, group, plan)
    if found < LEAST * most:
        logger.warning(
            "center '%s': its cases of group '%s' weigh %.3g, the plan has %.3g for it; below %.3g it stays out of the "
            "group's sum, in which others would weigh more than the plan shows",
            *(payload.center, group, found, most, LEAST * most),
        )
    return found >= LEAST * most


def weight_of(payload: Payload, group: str, plan: SumPlan) -> float:
    """w, above 0 and at most 1.

    Raises:
        SecureSumError: the plan lets the center weigh nothing in a group in which it has cases.
    """
    most = _most(payload, group, plan)
    return float(min(float(payload.support[group]) ** plan.exponent, most) / max(plan.weights[group].values()))


def _most(payload: Payload, group: str, plan: SumPlan) -> float:
    most = plan.weights[group]
    if payload.center not in most:
        raise SecureSumError(
            f"center '{payload.center}' has cases of group '{group}', in which the plan counts {sorted(most)} alone"
        )
    return most[payload.center]
