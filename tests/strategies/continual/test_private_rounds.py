"""What a private round cannot do is said by name, with what to write."""

from typing import Any

import pytest

from protocol.messages.labels import Survival
from protocol.messages.privacy import Privacy
from protocol.messages.settings import StudySettings
from strategies.continual.private_rounds import private_findings
from strategies.continual.terms import TERMS
from tests.support.clinical_table import SCHEMA

PRIVACY = Privacy(epsilon=8, delta=1e-3, clip_norm={"peft": 1.0})


def settings(privacy: Privacy | None = PRIVACY, **changes: Any) -> StudySettings:
    asked = {"study": "s", "seed": 0, "model": {"name": "m"}, "privacy": privacy}
    return StudySettings.model_validate(asked | changes)


@pytest.mark.parametrize("term", ["ewc", "ditto"])
def test_a_term_that_mixes_patients_is_refused_by_name(term: str) -> None:
    found = next(private_findings(settings(), ["peft"], {term: 1.0, "proximal": 1.0}))
    assert found.startswith(f"local term '{term}' takes gradients of several patients together")
    assert "use distillation or orthogonality" in found


def test_every_other_term_may_stay() -> None:
    weights = {name: 1.0 for name, term in TERMS.items() if term.reads != "more" and not term.remembers}
    assert set(weights) == {"proximal", "scaffold", "distillation", "orthogonality"}
    assert not list(private_findings(settings(), ["peft"], weights))


def test_a_term_that_stands_on_statistics_of_patients_is_refused_by_name() -> None:
    (found,) = private_findings(settings(), ["peft"], {"gram_anchor": 0.1, "distillation": 0.0})
    assert found.startswith("local term 'gram_anchor' stands on a statistic of patients who trained")


def test_a_group_without_a_clipping_norm_is_named() -> None:
    assert "write privacy.clip_norm.pet" in next(private_findings(settings(), ["peft", "pet"], {}))


def test_losses_that_compare_patients_are_refused() -> None:
    labels = SCHEMA.model_copy(update={"survival": Survival(head="cox")})
    both = settings(tasks=("classification", "survival"), labels=labels)
    found = list(private_findings(both, ["peft"], {}))
    assert ["labels.classes.weights" in found[0], 'labels.survival.head = "mtlr"' in found[1]] == [True, True]


def test_without_privacy_everything_may_be_asked() -> None:
    assert not list(private_findings(settings(None), ["peft", "pet"], {"ditto": 1.0, "ewc": 1.0}))
