"""The head: the published linear map of both streams, in halves that each answer alone."""

import torch
import torch.nn.functional as F

from fusion_models.gates import Gain
from fusion_models.multistage.head import StreamHead, pool
from tests.support.model_measures import weights_of


def drawn(width: int = 2) -> StreamHead:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return StreamHead(width, 2)


def test_the_published_head_has_258_parameters() -> None:
    assert weights_of(StreamHead(64, 2)) == 258


def test_both_halves_are_one_linear_map_of_the_features_side_by_side() -> None:
    head, ct, pet = drawn(), torch.rand(3, 2), torch.rand(3, 2)
    joint = F.linear(torch.cat([ct, pet], dim=1), torch.cat([head.ct.weight, head.pet.weight], dim=1), head.bias)
    torch.testing.assert_close(head(ct, pet), joint)


def test_a_stream_that_is_absent_takes_its_half_with_it() -> None:
    """Features 1, 2 by weights (1, 10) and (0, 1), with a bias of 5: 26 and 7."""
    head = drawn()
    head.ct.weight.data = torch.tensor([[1.0, 10.0], [0.0, 1.0]])
    head.bias.data.fill_(5)
    features = torch.tensor([[1.0, 2.0]])
    assert head(features, None).tolist() == [[26.0, 7.0]]
    assert torch.equal(head(None, features), F.linear(features, head.pet.weight, head.bias))


def test_a_gain_weighs_pets_half_where_both_answer() -> None:
    """Weights of one, features 1, 2 and 3, 4, no bias: 3 + 0.5 x 7; PET alone still has its 7."""
    head, gain = drawn(), Gain(2, 0.5)
    for parameter, value in ((head.ct.weight, 1.0), (head.pet.weight, 1.0), (head.bias, 0.0)):
        parameter.data.fill_(value)
    ct, pet = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]])
    assert head(ct, pet, gain).tolist() == [[6.5, 6.5]]
    assert head(None, pet, gain).tolist() == [[7.0, 7.0]]


def test_it_is_drawn_as_the_linear_map_of_both_streams() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        joint = torch.nn.Linear(4, 2)
    assert torch.equal(torch.cat([drawn().ct.weight, drawn().pet.weight], dim=1), joint.weight)
    assert torch.equal(drawn().bias, joint.bias)


def test_pooling_is_the_mean_over_positions() -> None:
    maps = torch.arange(16.0).reshape(1, 2, 2, 2, 2)
    assert pool(maps).tolist() == [[3.5, 11.5]]
