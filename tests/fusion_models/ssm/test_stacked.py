"""VMamba's stacked names and ours, there and back."""

import pytest
import torch

from fusion_models.ssm.stacked import split_directions, stack_directions
from fusion_models.ssm.vss import SS2D
from tests.support.official_weights import load_golden


def test_official_names_stack_the_four_directions() -> None:
    net = SS2D(32, state=3)
    load_golden(net)
    state = net.state_dict()
    stacked = stack_directions({f"op.{name}": tensor for name, tensor in state.items()})
    assert {name: tuple(tensor.shape) for name, tensor in stacked.items()} == {
        "op.in_proj.weight": (128, 32),
        "op.conv2d.weight": (64, 1, 3, 3),
        "op.conv2d.bias": (64,),
        "op.x_proj_weight": (4, 8, 64),
        "op.dt_projs_weight": (4, 64, 2),
        "op.dt_projs_bias": (4, 64),
        "op.A_logs": (256, 3),
        "op.Ds": (256,),
        "op.out_norm.weight": (64,),
        "op.out_norm.bias": (64,),
        "op.out_proj.weight": (32, 64),
    }
    back = split_directions(stacked)
    assert all(torch.equal(back[f"op.{name}"], tensor) for name, tensor in state.items())
    assert torch.equal(stacked["op.Ds"][64:128], state["directions.1.D"])


def test_a_stack_of_other_than_four_directions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"op.x_proj_weight has shape \(2, 8, 64\), expected 4 directions"):
        split_directions({"op.x_proj_weight": torch.zeros(2, 8, 64)})
    with pytest.raises(ValueError, match=r"op.Ds has shape \(6,\), expected 4 directions"):
        split_directions({"op.Ds": torch.zeros(6)})
    with pytest.raises(ValueError, match=r"missing: \['op.directions.1.D', 'op.directions.2.D', 'op.directions.3.D'\]"):
        stack_directions({"op.directions.0.D": torch.zeros(6)})
