"""What a study cannot have beside sums alone is refused when its file is read, all of it at once."""

import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from server.study.file import Study
from tests.support.study_text import NETWORK, centers_text, head_text, stage_text

CENTERS = "abc"


def study(strategy: str = "", stage: str = "", centers: str = CENTERS) -> Study:
    text = head_text("summed", "Sums alone") + NETWORK + "[secure_aggregation]\n" + strategy + centers_text(CENTERS)
    return Study.model_validate(tomllib.loads(text + stage_text("adapt", centers) + stage))


def test_a_study_of_three_centers_may_sum() -> None:
    found = study()
    assert found.settings.secure_aggregation is not None
    assert found.settings.secure_aggregation.fewest == 3


@pytest.mark.parametrize("scheme", ["product-exact", "flora", "flexlora", "lora-fair", "lorm", "ties", "fedsa-lora"])
def test_a_scheme_that_looks_at_single_payloads_is_refused_with_those_that_do_not(scheme: str) -> None:
    with pytest.raises(ValidationError, match=f"'{scheme}', which needs each center's own tensors; use one of"):
        study(f'[strategy.aggregation]\nscheme = "{scheme}"\n')


@pytest.mark.parametrize(
    ("strategy", "why"),
    [
        ("[strategy.terms]\newc = 1.0\n", "['ewc'] send the coordinator what one center observed"),
        ("[strategy.terms]\nscaffold = true\n", "['scaffold']"),
        ("[strategy.terms]\nditto = 1.0\n", "['ditto']"),
        ('[strategy]\npersonal = ["norm"]\n', "personal groups ['norm']"),
        ("[strategy]\nrouter = true\n", "router gathers prototypes"),
        ("[strategy.aggregation]\nmaximum_share = 0.6\n", "maximum_share is 0.6, expected at most 0.5"),
    ],
)
def test_what_needs_a_single_centers_word_is_refused(strategy: str, why: str) -> None:
    with pytest.raises(ValidationError) as found:
        study(strategy)
    assert why in str(found.value)


def test_a_robust_rule_has_nothing_to_hold_against_each_other() -> None:
    with pytest.raises(ValidationError, match="has robust rule 'trimmed-mean'"):
        study('[strategy.aggregation.robust]\nrule = "trimmed-mean"\nliars = 1\n')


def test_a_term_that_stays_at_the_center_may_go_along() -> None:
    assert study("[strategy.terms]\nproximal = 0.1\ndistillation = 0.1\n").secure_aggregation is not None


def test_a_stage_of_two_centers_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"stage 'adapt' has 2 center\(s\), a sum needs 3"):
        study(centers="ab")


def test_all_findings_come_together() -> None:
    with pytest.raises(ValidationError) as found:
        study("[strategy]\nrouter = true\npersonal = ['norm']\n", centers="ab")
    message: Any = str(found.value)
    assert all(part in message for part in ("router", "personal groups", "2 center(s)"))
