"""Cross-modal channel attention: one weight a channel, of the reference alone."""

import pytest
import torch

from fusion_models.clinicalfmamba.cmca import ChannelAttention
from tests.support.model_measures import weights_of
from tests.support.official_weights import inp

SIZES = {2: (3, 5), 3: (2, 3, 5)}


@pytest.mark.parametrize("axes", [2, 3])
def test_one_weight_a_channel_between_0_and_1(axes: int) -> None:
    attention = ChannelAttention(4, axes=axes)
    weights = attention.weights(inp(0, (2, 4, *SIZES[axes])))
    assert weights.shape == (2, 4, *[1] * axes)
    assert ((weights > 0) & (weights < 1)).all()
    assert weights_of(attention) == 2 * 4 * 4


def test_weights_are_the_sigmoid_of_largest_and_mean() -> None:
    """Of the channels' values 0, 1 and 5: sigmoid(5 + 2)."""
    attention = ChannelAttention(1, axes=2)
    with torch.no_grad():
        attention.reference.weight.fill_(1)
        attention.query.weight.fill_(2)
    reference, query = torch.tensor([0.0, 1.0, 5.0]).view(1, 1, 1, 3), torch.tensor([1.0, 0.0, -1.0]).view(1, 1, 1, 3)
    expected = torch.sigmoid(torch.tensor(7.0)) * 2 * query
    torch.testing.assert_close(attention.add(torch.ones_like(query), reference, query), 1 + expected)


@pytest.mark.parametrize("axes", [2, 3])
def test_the_figures_form_is_3_wide_and_adds_the_reference(axes: int) -> None:
    attention = ChannelAttention(4, axes=axes, kernel=3, residual=True)
    reference = inp(0, (1, 4, *SIZES[axes]))
    assert attention.reference.weight.shape[2:] == (3,) * axes
    nothing = torch.zeros_like(reference)
    torch.testing.assert_close(attention.add(nothing, reference, nothing), reference)


@pytest.mark.parametrize("axes", [2, 3])
def test_both_modalities_are_reference_once_and_query_once(axes: int) -> None:
    attention, (x, first, second) = ChannelAttention(4, axes=axes), inp(0, (3, 1, 4, *SIZES[axes]))
    one, other = (attention.add(torch.zeros_like(x), *pair) for pair in ((first, second), (second, first)))
    torch.testing.assert_close(attention(x, first, second), x + one + other)
    torch.testing.assert_close(attention(x, first, second), attention(x, second, first))
