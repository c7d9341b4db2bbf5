"""What of a study cannot be done where scores and comparisons leave the centers as sums alone."""

from collections.abc import Iterator, Mapping, Sequence

from protocol.messages.secure_aggregation import SecureAggregation, sums_scores
from protocol.messages.secure_sum import MOST_ROWS
from protocol.modalities import settings_within
from server.study.stage import Center, Stage
from strategies.strategy import Strategy

MOST_SHARES = 2048
"""Figures of all centers of a sum: a message's text holds a part of a secret for each."""


def refuse_unfit_score_sums(
    secure: SecureAggregation | None,
    centers: Mapping[str, Center],
    stages: Sequence[Stage],
    strategy: Strategy,
    figures: Sequence[str],
) -> None:
    """Refuse a study that sums its scores and asks for what only single centers' scores can give.

    Args:
        secure: what the file asks for; where scores leave center by center everything goes.
        centers: of the study.
        stages: of the study.
        strategy: of the study.
        figures: names of all figures of its tasks and endpoints.

    Raises:
        ValueError: with everything that does not go together.
    """
    if secure is None or not sums_scores(secure):
        return
    evaluated = {name for name, center in centers.items() if center.evaluated}
    found = [
        *_rule_findings(strategy),
        *_number_findings(secure, evaluated, stages, strategy),
        *_size_findings(centers, evaluated, figures),
    ]
    if found:
        raise ValueError(f'secure_aggregation.scores = "summed" shows no center\'s own score: {"; ".join(found)}')


def _rule_findings(strategy: Strategy) -> Iterator[str]:
    if strategy.rollback is not False:
        yield ("strategy.rollback holds two validation scores of each center against each other; set rollback = false")
    if strategy.gate is not False and strategy.gate.liars > 0:
        yield (
            f"strategy.gate.liars is {strategy.gate.liars:.3g}: of a sum nobody's voice can be left out; set gate = "
            "{ liars = 0 }, with which every harmed center refuses for all, or gate = false"
        )


def _number_findings(
    secure: SecureAggregation, evaluated: set[str], stages: Sequence[Stage], strategy: Strategy
) -> Iterator[str]:
    if len(evaluated) < secure.fewest:
        yield f"{len(evaluated)} center(s) are evaluated, a sum needs {secure.fewest}"
    earlier: set[str] = set()
    for stage in stages if strategy.gate is not False else ():
        is_backbone = "backbone" in stage.trained
        asked = evaluated & {*stage.centers, *(() if is_backbone else earlier)}
        if len(asked) < secure.fewest:
            yield (
                f"the gate asks {len(asked)} center(s) about stage '{stage.name}', a sum needs {secure.fewest}; set "
                "gate = false"
            )
        earlier |= set() if is_backbone else {*stage.centers}


def _size_findings(centers: Mapping[str, Center], evaluated: set[str], figures: Sequence[str]) -> Iterator[str]:
    settings = {setting for name in evaluated for setting in settings_within(centers[name].modalities)}
    rows = len(settings) * len(figures)
    if rows > MOST_ROWS or rows * len(evaluated) > MOST_SHARES:
        yield (
            f"{len(settings)} modality settings with {len(figures)} figures each are {rows} rows of a sum over "
            f"{len(evaluated)} centers, at most {MOST_ROWS} and {MOST_SHARES} of all centers together can be summed; "
            "name fewer endpoints"
        )
