"""The table of normalisations: as many parameters each, no state beside them, and over what each of them normalises."""

import pytest
import torch

from fusion_models.multistage.norms import NORMS, group_norm
from tests.support.model_measures import weights_of

EVERY = pytest.mark.parametrize("name", sorted(NORMS))


@EVERY
def test_every_norm_has_a_scale_and_a_shift_a_channel_and_nothing_else(name: str) -> None:
    norm = NORMS[name](16)
    assert weights_of(norm) == 32
    assert not dict(norm.named_buffers())


@EVERY
def test_evaluation_normalises_as_training_does(name: str) -> None:
    norm, maps = NORMS[name](4), torch.randn(2, 4, 3, 3, 3, generator=torch.Generator().manual_seed(0)) + 5
    assert torch.equal(norm.train()(maps), norm.eval()(maps))


@pytest.mark.parametrize(("name", "mean"), [("batch", -1.0), ("instance", 0.0), ("group", 0.0)])
def test_batch_alone_looks_across_cases(name: str, mean: float) -> None:
    """Two constant cases, 0 and 2: each is one standard deviation off their common mean, and at its own mean."""
    maps = torch.stack([torch.zeros(1, 2, 2, 2), torch.full((1, 2, 2, 2), 2.0)])
    assert NORMS[name](1)(maps)[0].mean().item() == pytest.approx(mean, abs=1e-4)


def test_batch_and_instance_are_the_same_for_one_case() -> None:
    maps = torch.randn(1, 4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(NORMS["batch"](4)(maps), NORMS["instance"](4)(maps))


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (4, 4), (12, 4), (16, 8), (64, 8)])
def test_groups_divide_the_channels(channels: int, groups: int) -> None:
    assert group_norm(channels).num_groups == groups
