"""The local terms of a round, by the names of the table."""

import pkgutil
from inspect import signature

import numpy as np
import pytest

from client import local_terms
from client.local_terms.building import build_of, build_terms
from client.local_terms.contract import LocalTerm, array_of
from fusion_models.adapters.injection import inject_beside
from fusion_models.adapters.keys import parameters_by_key
from protocol.errors import ModelError
from protocol.messages.settings import Weight
from strategies.continual.terms import TERMS
from tests.support.local_round import adapted, around

NO_TERMS = {"contract", "building", "input_sizes"}


def build_all(terms: dict[str, Weight]) -> list[LocalTerm]:
    parts = around(adapted(), terms=terms)
    return build_terms(
        parts.model, parts.training, {}, {}, parts.settings, parts.task, parts.pathways, parts.make_model, 4
    )


@pytest.mark.parametrize("name", sorted(TERMS))
def test_the_code_of_a_term_lies_under_its_name(name: str) -> None:
    first, _ = signature(build_of(name)).parameters
    assert first == "around"


def test_every_file_is_a_row_of_its_name() -> None:
    files = {module.name for module in pkgutil.iter_modules(local_terms.__path__)}
    assert files - NO_TERMS == set(TERMS)


def test_weights_of_zero_build_nothing() -> None:
    assert build_all({}) == build_all({"proximal": 0, "scaffold": False}) == []


def test_a_term_that_this_center_does_not_have_is_refused_with_those_it_has() -> None:
    with pytest.raises(ModelError, match=r"'fedmagic' is no local term; known: \[.*'proximal'"):
        build_all({"fedmagic": 1.0})


def test_what_was_never_learnt_needs_no_keeping() -> None:
    """In a first stage there is no sketch, Fisher, reference or residual: only FedProx and SCAFFOLD act."""
    needy = ("gram_anchor", "ewc", "distillation", "orthogonality")
    built = build_all({"proximal": 1.0, "scaffold": True, **dict.fromkeys(needy, 1.0)})
    assert [type(term).__name__ for term in built] == ["Proximal", "Scaffold"]


def test_a_round_of_personal_tensors_adds_nothing() -> None:
    """Only a center's own adapter trains: no term holds it, although every memory is there."""
    model = adapted()
    inject_beside(model, "center", {"0": 1}, seed=1)
    for key, parameter in parameters_by_key(model).items():
        parameter.requires_grad = key.endswith(("center_a", "center_b"))
    state = {key: array_of(p) for key, p in parameters_by_key(model).items() if "#lora" in key}
    received = {
        "0@gram": np.ones((1, 3), np.float32),
        "0#lora_a@fisher": state["0#lora_a"],
        "0#residual_a": state["0#lora_a"],
    }
    parts = around(model, state | received, state | {"0#residual_a": state["0#lora_a"]})
    assert list(parts.parameters()) == ["0#center_a", "0#center_b"]
    assert [name for name in TERMS if build_of(name)(parts, 1.0) is not None] == []
