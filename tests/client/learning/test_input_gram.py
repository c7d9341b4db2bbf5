"""The input Gram matrix of a projection, and its sketch."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from client.learning.input_gram import POSITIONS_PER_PASS, InputGrams, input_rows, sketch
from fusion_models.adapters.injection import adapter_layers, inject, lora_config
from protocol.errors import ModelError


def test_the_gram_is_the_mean_of_outer_products_of_a_linears_inputs() -> None:
    """Inputs (1, 2) and (3, 0): G = ((1, 2)'(1, 2) + (3, 0)'(3, 0)) / 2 = [[5, 1], [1, 2]]."""
    model = inject(nn.Sequential(nn.Linear(2, 3)), lora_config(method="lora", rank=1, alpha=1, targets=["0"]), seed=0)
    grams = InputGrams(np.random.default_rng(0))
    for rows in ([[1.0, 2.0]], [[3.0, 0.0]]):
        grams.add("0", adapter_layers(model)["0"], (torch.tensor(rows),))
    assert grams.means()["0"].tolist() == [[5.0, 1.0], [1.0, 2.0]]


def test_tokens_of_all_cases_count_alike() -> None:
    assert input_rows(nn.Linear(4, 1), torch.zeros(2, 5, 4), np.random.default_rng(0)).shape == (10, 4)


@pytest.mark.parametrize("options", [{}, {"padding": 1}, {"stride": 2, "padding": (1, 0, 2)}])
def test_patches_of_a_convolution_give_its_output(options: dict[str, Any]) -> None:
    """Each row times the flattened weight is the answer at one output position, in their order."""
    torch.manual_seed(0)
    layer, x = nn.Conv3d(2, 3, (2, 3, 1), bias=False, **options), torch.randn(2, 2, 4, 5, 4)
    rows = input_rows(layer, x, np.random.default_rng(0))
    answer = (rows @ layer.weight.flatten(1).T).reshape(2, -1, 3).transpose(1, 2)
    assert torch.allclose(answer, layer(x).flatten(2), atol=1e-5)


def test_a_large_convolution_is_looked_at_in_as_many_places_as_said() -> None:
    layer, x = nn.Conv3d(1, 1, 1), torch.arange(9.0**3).reshape(1, 1, 9, 9, 9)
    drawn = [input_rows(layer, x, np.random.default_rng(seed)).flatten() for seed in (0, 0, 1)]
    assert [len(set(rows.tolist())) for rows in drawn] == [POSITIONS_PER_PASS] * 3
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv3d(2, 2, 2, groups=2),
        nn.Conv3d(2, 2, 2, dilation=2),
        nn.Conv3d(2, 2, 3, padding="same"),
        nn.Conv3d(2, 2, 3, padding=1, padding_mode="circular"),
        nn.ConvTranspose3d(2, 2, 2),
    ],
)
def test_a_layer_whose_inputs_cannot_be_remembered_is_refused(layer: nn.Module) -> None:
    with pytest.raises(ModelError, match="cannot be remembered; known are Linear and convolutions without groups"):
        input_rows(layer, torch.zeros(1, 2, 4, 4, 4), np.random.default_rng(0))


def test_the_sketch_keeps_the_largest_eigenvalues() -> None:
    """G = diag(1, 9, 4), two rows: R'R = diag(0, 9, 4); asked for more rows than G has, R'R is G."""
    gram = np.diag([1.0, 9.0, 4.0])
    two, all_of_it = sketch(gram, 2), sketch(gram, 32)
    assert (two.shape, all_of_it.shape) == ((2, 3), (3, 3))
    np.testing.assert_allclose(two.T @ two, np.diag([0, 9, 4]), atol=1e-6)
    np.testing.assert_allclose(all_of_it.T @ all_of_it, gram, atol=1e-6)
