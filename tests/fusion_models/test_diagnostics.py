"""What the rows of the model table tell about the inside of a network is what data owners have reviewed."""

import pytest
import torch

from fusion_models.diagnostics import NoDiagnostics
from fusion_models.registry import MODELS
from protocol.messages.diagnostics import diagnostic_findings
from tests.support.smallest_models import SMALLEST, built, inputs


@pytest.mark.parametrize("name", SMALLEST)
def test_a_row_tells_nothing_but_what_is_in_the_reviewed_list(name: str) -> None:
    """A figure that is not there would stop every reply of the center."""
    model, diagnostics = built(name).eval(), MODELS[name].diagnostics()
    with torch.no_grad(), diagnostics.observe(model):
        model(*inputs(name, MODELS[name].settings[-1]))
    assert list(diagnostic_findings(diagnostics.summary())) == []


@pytest.mark.parametrize(("name", "figures"), [("vmambax-tiny", 2 * 2 * 3), ("pemma-unetr-tiny", 0)])
def test_vmambax_tells_of_its_gates(name: str, figures: int) -> None:
    """Three figures of each gate: two stages with one for CT and one for PET."""
    model, diagnostics = built(name).eval(), MODELS[name].diagnostics()
    with torch.no_grad(), diagnostics.observe(model):
        model(*inputs(name, "ct+pet"))
    assert len(diagnostics.summary()) == figures


def test_a_model_that_tells_nothing_is_left_alone() -> None:
    silent, model = NoDiagnostics(), torch.nn.Linear(2, 1)
    with silent.observe(model):
        model(torch.ones(1, 2))
    assert silent.summary() == {}
    assert not model._forward_hooks
