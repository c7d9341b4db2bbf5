"""What of a study cannot be done where the coordinator sees sums of centers alone."""

from collections.abc import Callable, Iterator, Sequence

from protocol.messages.secure_aggregation import SecureAggregation
from server.study.robust_findings import robust_of
from server.study.stage import Stage
from strategies.aggregation.schemes import SCHEMES
from strategies.continual.terms import TERMS
from strategies.strategy import Strategy

MAXIMUM_SHARE = 0.5
"""With more, a sum would be one center's; every center refuses it (`client.masking.plan_checks`)."""


def refuse_unfit_sums(
    secure: SecureAggregation | None, stages: Sequence[Stage], scheme_name: Callable[[Stage], str], strategy: Strategy
) -> None:
    """Refuse a study that asks for secure aggregation and for what only single centers' tensors can give.

    Args:
        secure: what the file asks for; without it everything goes.
        stages: of the study.
        scheme_name: of a stage's aggregation scheme.
        strategy: of the study.

    Raises:
        ValueError: with everything that does not go together.
    """
    if secure is None:
        return
    found = [
        *_stage_findings(secure, stages, scheme_name),
        *_rule_findings(stages, strategy),
        *_strategy_findings(strategy),
    ]
    if found:
        raise ValueError(f"[secure_aggregation] shows the coordinator sums alone: {'; '.join(found)}")


def _stage_findings(
    secure: SecureAggregation, stages: Sequence[Stage], scheme_name: Callable[[Stage], str]
) -> Iterator[str]:
    fit = sorted(name for name, row in SCHEMES.items() if row.summed is not None)
    for stage in stages:
        scheme = scheme_name(stage)
        if scheme in SCHEMES and SCHEMES[scheme].summed is None:
            yield f"stage '{stage.name}' has scheme '{scheme}', which needs each center's own tensors; use one of {fit}"
        if len(stage.centers) < secure.fewest:
            yield f"stage '{stage.name}' has {len(stage.centers)} center(s), a sum needs {secure.fewest}"


def _rule_findings(stages: Sequence[Stage], strategy: Strategy) -> Iterator[str]:
    for stage in stages:
        if (robust := robust_of(stage, strategy.aggregation)) is not None:
            yield f"stage '{stage.name}' has robust rule '{robust.rule}', which holds single updates against each other"


def _strategy_findings(strategy: Strategy) -> Iterator[str]:
    single = [
        name
        for name, term in TERMS.items()
        if strategy.terms.get(name) and (term.remembers or term.returns or term.shares)
    ]
    if single:
        yield f"local term(s) {single} send the coordinator what one center observed or returned; use others"
    if strategy.personal:
        yield f"personal groups {list(strategy.personal)} are kept at the coordinator center by center; leave them out"
    if strategy.router:
        yield "router gathers prototypes of single centers; leave it out"
    if strategy.aggregation.maximum_share > MAXIMUM_SHARE:
        yield f"maximum_share is {strategy.aggregation.maximum_share:g}, expected at most {MAXIMUM_SHARE:g}"
