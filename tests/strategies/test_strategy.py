"""What a study file says under `[strategy]`."""

import pytest
from pydantic import ValidationError

from strategies.continual.terms import TERMS
from strategies.strategy import Strategy


def test_every_local_term_has_a_weight_whether_it_is_named_or_not() -> None:
    assert set(Strategy().terms) == set(Strategy.model_validate({"terms": {"ewc": 1}}).terms) == set(TERMS)
    assert Strategy.model_validate({"terms": {"ewc": 1, "scaffold": True}}).terms["ewc"] == 1.0


@pytest.mark.parametrize("terms", [{"fedmagic": 1}, {"ewc": -1}, {"scaffold": 2}, 3])
def test_a_table_of_terms_that_cannot_be_is_refused_where_it_stands(terms: object) -> None:
    with pytest.raises(ValidationError) as found:
        Strategy.model_validate({"terms": terms})
    assert found.value.errors()[0]["loc"] == ("terms",)
