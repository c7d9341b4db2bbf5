"""A scheme that makes factors anew goes with nothing that follows a factor's entries from round to round."""

import pytest

from protocol.messages.recipe import Recipe
from protocol.messages.settings import Adapter, Aggregation
from server.study.factor_findings import refuse_unfit_factors
from server.study.stage import Center, Stage
from strategies.strategy import Strategy

STAGE = Stage(name="s", kind="adapt", centers=("a", "b"), rounds=1, local_steps=1, learning_rate=1e-3)
CENTERS = {"a": Center(), "b": Center()}


def check(
    scheme: str, strategy: Strategy | None = None, training: Recipe | None = None, centers: dict[str, Center] = CENTERS
) -> None:
    refuse_unfit_factors(STAGE, scheme, centers, Adapter(rank=4), strategy or Strategy(), training or Recipe())


def test_schemes_that_average_go_with_all_of_it() -> None:
    check("alt-exact", Strategy(terms={"ewc": 1.0}), Recipe(optimiser="kept"))


@pytest.mark.parametrize(
    ("scheme", "strategy", "training", "why"),
    [
        ("product-exact", Strategy(terms={"ewc": 1.0}), Recipe(), "compare factors from round to round"),
        ("flora", Strategy(), Recipe(optimiser="kept"), "goes on with moments"),
        ("alt-exact", Strategy(aggregation=Aggregation(gauge_step=True)), Recipe(optimiser="kept"), "moments"),
    ],
)
def test_what_follows_entries_is_refused_where_factors_turn(
    scheme: str, strategy: Strategy, training: Recipe, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        check(scheme, strategy, training)


def test_ranks_of_single_centers_need_a_scheme_that_combines_them() -> None:
    ranked = {"a": Center(rank=2), "b": Center()}
    check("product-exact", centers=ranked)
    with pytest.raises(ValueError, match=r"center\(s\) \['a'\] have ranks of their own"):
        check("fedit", centers=ranked)
