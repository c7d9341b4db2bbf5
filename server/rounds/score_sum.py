"""One sum of scores or comparisons: what the centers answered, who stands behind which figure, and the totals."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from protocol.errors import PayloadError, QuorumError, SecureSumError
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.secure_sum import Contribution, Harm, SumPlan, Weights, scheme_of_scores, state_digest
from server.grid.center_answer import CenterAnswer
from server.rounds.dispatcher import no_answers
from server.rounds.sum_phases import OpenSum, SumPhases, check_contribution
from strategies.secure_sum.center_side import open_groups
from strategies.secure_sum.fixed_point import Values, Words
from strategies.secure_sum.score_rows import from_hex, numbers_in, score_total_finding, with_cases_registered
from strategies.shares import capped_weights

logger = logging.getLogger(__name__)

LEAST_SHARE = 0.06
"""Of the mean weight; a center with less is raised to it. Every center refuses a plan with less than 0.05 of it."""
MAXIMUM_SHARE = 0.5


Agree = Callable[[Mapping[str, CenterAnswer], Mapping[str, tuple[str, ...]], Collection[str]], None]


def accept(
    _answers: Mapping[str, CenterAnswer], _behind: Mapping[str, tuple[str, ...]], _opening: Collection[str]
) -> None:
    """Open what can be opened, whoever is away."""


@dataclass(frozen=True)
class ScoreTotals:
    """What came of a sum.

    answers: to `evaluate` or `compare`, one a center that was to be asked, an error where it is not in the sum.
    behind: row -> the centers that stand behind it. totals: row -> its sum, of the rows that were opened.
    """

    answers: Mapping[str, CenterAnswer]
    behind: Mapping[str, tuple[str, ...]]
    totals: Mapping[str, Values]


def weights_of_rows(
    keys: Collection[str], rows: Mapping[str, Collection[str]], registered: Mapping[str, int], fewest: int
) -> dict[str, dict[str, float]]:
    """Row -> center -> its weight: the cases that it registered with, as far as they are believed; no share above half.

    Args:
        keys: centers that take part.
        rows: row -> the centers whose modalities reach it.
        registered: center -> cases.
        fewest: k; a row that fewer reach is not in the plan, and nobody sends anything of it.
    """
    found = {}
    for row, reaching in rows.items():
        cases = {center: float(registered.get(center, 0)) for center in sorted(set(keys) & set(reaching))}
        weights = capped_weights(cases, exponent=1.0, maximum_share=MAXIMUM_SHARE)
        least = LEAST_SHARE * sum(weights.values()) / max(1, len(weights))
        if len(weights) >= fewest:
            found[row] = {center: max(weight, least) for center, weight in weights.items()}
    return found


def sum_scores(
    phases: SumPhases,
    instructions: Mapping[str, Instruction],
    weigh: Callable[[Collection[str]], Weights],
    registered: Mapping[str, int],
    harm: Harm | None = None,
    agree: Agree = accept,
) -> ScoreTotals:
    """Have centers answer with masked rows, and open what enough of them stand behind.

    Args:
        phases: of the sum.
        instructions: center -> what it is asked, alike but for its name; one that is not in the sum is not asked.
        weigh: the weights of the centers that take part.
        registered: center -> cases that it registered with, of the part that is scored.
        harm: of comparisons, when a candidate harms.
        agree: told before anything is opened who answered, who stands behind which row and which would be opened; what
            it raises leaves the sum closed. One that is opened without a center is never opened with it.

    Raises:
        QuorumError: too few take part, or help to open the sum; nothing of it was seen.
        PayloadError: the totals are none that the centers can have sent.
    """
    keys = phases.advertise(instructions)
    weights, first = weigh(keys), instructions[min(keys)]
    if not weights:
        raise QuorumError(f"{phases.where}: {len(keys)} center(s) with cases are too few for any figure of theirs")
    state = state_digest(first.tensors, first.reference, first.backbone_hash)
    plan = SumPlan(*phases.place, state, scheme_of_scores(phases.of, first.task), 0.0, keys, weights, harm)
    opened = phases.share(plan)
    answers = phases.ask(opened.instruct(instructions))
    said, masked, taken = {}, {}, {**no_answers(instructions)}
    for center, answer in sorted(answers.items()):
        try:
            said[center], masked[center] = _take_in(answer, opened, phases)
            taken[center] = answer
        except SecureSumError as refused:
            logger.warning("%s", refused)
            error = answer.reply.error or refused.code
            taken[center] = replace(answer, reply=Reply(center, answer.reply.kind, error=error))
    behind = {row: tuple(sorted(c for c, found in said.items() if row in found.groups)) for row in weights}
    phases.require(masked, plan, phases.of)
    agree(taken, behind, open_groups(plan, {c: found.groups for c, found in said.items()}, phases.fewest))
    try:
        totals = phases.unmask(opened, masked, said)
    except SecureSumError as error:
        raise QuorumError(f"{phases.where}: the sum cannot be unmasked: {error}. Nothing of it was seen") from error
    _check_totals(plan, totals, behind, phases.where)
    counted = {row: {center: registered[center] for center in centers} for row, centers in behind.items()}
    return ScoreTotals(
        taken, behind, {row: with_cases_registered(found, counted[row]) for row, found in totals.items()}
    )


def _check_totals(
    plan: SumPlan, totals: Mapping[str, Values], behind: Mapping[str, tuple[str, ...]], where: str
) -> None:
    for row, total in totals.items():
        if found := score_total_finding(plan, row, total, behind[row]):
            raise PayloadError(
                f"{where}: the sum of '{row}' has {found}, so that at least one of {list(behind[row])} sent something "
                "else than it may. Nothing of it was used; whose it was cannot be seen"
            )


def _take_in(answer: CenterAnswer, opened: OpenSum, phases: SumPhases) -> tuple[Contribution, dict[str, Words]]:
    """What a center stands behind, and its masked rows.

    Raises:
        SecureSumError: it answered with an error, for another sum, or with other rows than the plan's.
    """
    reply, weights = answer.reply, opened.plan.weights
    if reply.error:
        raise SecureSumError(f"center '{answer.center}' is out of the sum: '{reply.kind}' failed ({reply.error})")
    said = check_contribution(answer, opened, phases.roster)
    words = {} if reply.secure is None else {row: from_hex(text) for row, text in reply.secure.rows.items()}
    if words.keys() != weights.keys() or any(found.size != numbers_in(row) for row, found in words.items()):
        raise SecureSumError(f"center '{answer.center}': its masked rows are not those of the sum")
    if reply.scores or reply.comparison is not None:
        raise SecureSumError(f"center '{answer.center}': sent figures in the open beside masked rows; nothing is used")
    unreached = [row for row in said.groups if answer.center not in weights.get(row, {})]
    if unreached:
        raise SecureSumError(
            f"center '{answer.center}' stands behind {unreached[:4]}, where the plan does not count it"
        )
    return said, words
