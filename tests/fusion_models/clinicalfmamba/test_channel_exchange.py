"""Channel exchange: which channels change places, the weights, and the residual of the second round."""

import torch
from torch import nn

from fusion_models.clinicalfmamba.channel_exchange import ChannelExchange, exchange_even
from tests.support.model_measures import gradient, weights_of
from tests.support.official_weights import inp


def test_even_channels_change_places() -> None:
    first, second = exchange_even(torch.tensor([[1, 2, 3, 4]]), torch.tensor([[5, 6, 7, 8]]))
    assert (first.tolist(), second.tolist()) == ([[5, 2, 7, 4]], [[1, 6, 3, 8]])


def test_parameters_of_the_published_width_are_the_same_for_any_rounds() -> None:
    with torch.device("meta"):
        assert [weights_of(ChannelExchange(128, axes=2, state=16, rounds=rounds)) for rounds in (1, 2)] == [233_472] * 2


def test_the_second_round_adds_the_first_ones_input() -> None:
    """With mixers that pass everything on: t = n(t0), then n(n(t0) + t0), even channels exchanged both times."""
    exchange = ChannelExchange(4, axes=2, state=2, rounds=2)
    exchange.norms = nn.ModuleList([nn.Identity(), nn.Identity()])
    exchange.mixers = nn.ModuleList([nn.Identity(), nn.Identity()])
    first, second = exchange(torch.tensor([[1.0, 2, 3, 4]]), torch.tensor([[5.0, 6, 7, 8]]))
    # After one round (5 2 7 4) and (1 6 3 8); with the inputs (6 4 10 8) and (6 12 10 16); exchanged again.
    assert (first.tolist(), second.tolist()) == ([[6, 4, 10, 8]], [[6, 12, 10, 16]])


def test_every_parameter_learns_on_a_box() -> None:
    exchange = ChannelExchange(8, axes=3, state=2, rounds=2)
    first, second = exchange(inp(0, (1, 2, 3, 4, 8)), inp(1, (1, 2, 3, 4, 8)))
    (first.square().sum() + second.square().sum()).backward()
    assert all(gradient(parameter).any() for parameter in exchange.parameters())
