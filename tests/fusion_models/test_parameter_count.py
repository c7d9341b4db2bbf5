"""Networks are counted while they are built, and one that is too large is never built."""

import pytest
import torch
from torch import nn

from fusion_models import parameter_count
from fusion_models.parameter_count import TooLargeError, count_parameters
from fusion_models.registry import MODELS, build_model

TINY = [name for name in MODELS if name.endswith("-tiny")]


def built(name: str) -> nn.Module:
    row = MODELS[name]
    outputs = 2 if "outputs" in row.case_sizes(2, 0) else 0
    return build_model(row, {}, crop_zyx=row.crop_zyx, seed=0, outputs=outputs, covariates=5)


@pytest.mark.parametrize("name", TINY)
def test_every_model_is_counted_as_it_is_built(name: str) -> None:
    assert count_parameters(lambda: built(name), 10**9) == sum(value.numel() for value in built(name).parameters())


def test_the_largest_published_network_is_counted_without_its_memory() -> None:
    """118,744,034 as published, 12 x 12 gates and 48 gains."""
    assert count_parameters(lambda: built("pemma-unetr-paper"), 10**9) == 118_744_034 + 144 + 48


def test_what_is_too_large_is_not_built_any_further() -> None:
    """Ten layers of 4 + 2 values: the third has values 13 to 18, of 15 allowed."""
    made: list[nn.Module] = []

    def build() -> nn.Module:
        made.extend(nn.Linear(2, 2) for _ in range(10))
        return nn.Sequential(*made)

    with pytest.raises(TooLargeError, match="more than 15 values"):
        count_parameters(build, 15)
    assert len(made) == 2


def test_a_trillion_values_take_no_memory() -> None:
    with pytest.raises(TooLargeError):
        count_parameters(lambda: nn.Linear(10**6, 10**6), 10**9)


def test_many_small_tensors_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameter_count, "MOST_TENSORS", 5)
    with pytest.raises(TooLargeError, match="or 5 tensors"):
        count_parameters(lambda: nn.Sequential(*(nn.Linear(1, 1) for _ in range(10))), 10**9)


def test_networks_made_afterwards_have_their_values() -> None:
    with pytest.raises(TooLargeError):
        count_parameters(lambda: nn.Linear(10, 10), 5)
    layer = nn.Linear(10, 10)
    assert (layer.weight.device, torch.linspace(0, 1, 3).device) == (torch.device("cpu"), torch.device("cpu"))
