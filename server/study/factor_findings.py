"""What cannot go on from round to round where a scheme makes an adapter's factors anew."""

from collections.abc import Mapping

from protocol.messages.recipe import Recipe
from protocol.messages.settings import Adapter
from server.study.stage import Center, Stage
from strategies.aggregation.schemes import SCHEMES
from strategies.continual.terms import TERMS
from strategies.strategy import Strategy

FREE_OF_GAUGE = [name for name, term in TERMS.items() if term.compares and not (term.fixed_gauge or term.folds)]


def refuse_unfit_factors(
    stage: Stage, name: str, centers: Mapping[str, Center], adapter: Adapter, strategy: Strategy, training: Recipe
) -> None:
    """Terms, moments and ranks that a scheme, by name, cannot follow where it makes the factors anew."""
    ranked = [center for center in stage.centers if centers[center].rank not in {None, adapter.rank}]
    tied = [name for name, term in TERMS.items() if term.fixed_gauge and strategy.terms[name]]
    turning = not SCHEMES[name].optimised or strategy.aggregation.gauge_step
    if tied and (ranked or turning):
        raise ValueError(
            f"stage '{stage.name}': local term(s) {tied} compare factors from round to round, but '{name}' turns "
            f"or re-cuts them{' for centers of other ranks' if ranked else ''}; use {' or '.join(FREE_OF_GAUGE)}, "
            "or a scheme that averages, without gauge_step and ranks of single centers"
        )
    kept = training.optimiser == "kept" and SCHEMES[name].exchanges
    if kept and (ranked or turning):
        raise ValueError(
            f"stage '{stage.name}': [training] optimiser 'kept' goes on with moments of the factors' entries, but "
            f"'{name}' turns or re-cuts the factors from round to round; use 'fresh', or a scheme that averages, "
            "without gauge_step and ranks of single centers"
        )
    if ranked and SCHEMES[name].exchanges and not SCHEMES[name].mixed_ranks:
        raise ValueError(
            f"stage '{stage.name}': center(s) {ranked} have ranks of their own, which '{name}' cannot combine; "
            f"use one of {sorted(key for key, row in SCHEMES.items() if row.mixed_ranks)}"
        )
