"""Public VMamba weights, written here by their own names and shapes, in an encoder; other variants are refused."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from fusion_models.ssm.stacked import stack_directions
from fusion_models.ssm.vmamba_checkpoint import later_name, load_vmamba, public_name
from fusion_models.ssm.vss_encoder import VSSEncoder
from tests.support.official_weights import golden_state, inp, load_golden

Shapes = dict[str, tuple[int, ...]]
DEPTHS = (1, 2)


def block_shapes(width: int, state: int) -> Shapes:
    d, rank = 2 * width, math.ceil(width / 16)
    return {
        "ln_1.weight": (width,),
        "ln_1.bias": (width,),
        "self_attention.x_proj_weight": (4, rank + 2 * state, d),
        "self_attention.dt_projs_weight": (4, d, rank),
        "self_attention.dt_projs_bias": (4, d),
        "self_attention.A_logs": (4 * d, state),
        "self_attention.Ds": (4 * d,),
        "self_attention.in_proj.weight": (2 * d, width),
        "self_attention.conv2d.weight": (d, 1, 3, 3),
        "self_attention.conv2d.bias": (d,),
        "self_attention.out_norm.weight": (d,),
        "self_attention.out_norm.bias": (d,),
        "self_attention.out_proj.weight": (width, d),
    }


def file_shapes(width: int, depths: Sequence[int], state: int, classes: int) -> Shapes:
    """Names and shapes of a public file's tensors."""
    shapes: Shapes = {"patch_embed.proj.weight": (width, 3, 4, 4)}
    shapes |= {f"patch_embed.{name}": (width,) for name in ("proj.bias", "norm.weight", "norm.bias")}
    for i, depth in enumerate(depths):
        c = width * 2**i
        for j in range(depth):
            shapes |= {f"layers.{i}.blocks.{j}.{name}": shape for name, shape in block_shapes(c, state).items()}
        if i < len(depths) - 1:
            shapes[f"layers.{i}.downsample.reduction.weight"] = (2 * c, 4 * c)
            shapes |= {f"layers.{i}.downsample.norm.{name}": (4 * c,) for name in ("weight", "bias")}
    last = width * 2 ** (len(depths) - 1)
    return shapes | {
        "norm.weight": (last,),
        "norm.bias": (last,),
        "head.weight": (classes, last),
        "head.bias": (classes,),
    }


@pytest.fixture
def state() -> dict[str, Tensor]:
    """A public file of a small network, its encoder with the written weights."""
    shapes = file_shapes(8, DEPTHS, state=2, classes=5)
    encoder = {name: shape for name, shape in shapes.items() if not name.startswith(("norm.", "head."))}
    later = later_names()
    golden = golden_state({later[name]: shape for name, shape in encoder.items()})
    classifier = {name: torch.zeros(shape) for name, shape in shapes.items() if name not in encoder}
    return {name: golden[later[name]] for name in encoder} | classifier


def small(
    in_channels: int = 3, *, width: int = 8, depths: Sequence[int] = DEPTHS, states: int = 2, patch: int = 4
) -> VSSEncoder:
    return VSSEncoder(in_channels, width=width, depths=depths, state=states, patch=patch)


def later_names() -> dict[str, str]:
    """Each of a public file's names, the classifier's aside, as later releases and the written weights have it."""
    return {public_name(key): later_name(key) for key in stack_directions(small().state_dict())}


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_tiny_uses_208_of_212_tensors_and_22_122_912_values() -> None:
    shapes = file_shapes(96, (2, 2, 9, 2), state=16, classes=1000)
    with torch.device("meta"):
        encoder = VSSEncoder(3, width=96, depths=(2, 2, 9, 2), state=16)
        state = {name: torch.empty(shape) for name, shape in shapes.items()}
    report = load_vmamba(encoder, state)
    assert len(shapes) == 212
    assert sum(math.prod(shape) for shape in shapes.values()) == 22_893_448
    assert len(report.used) == 208
    assert sum(state[name].numel() for name in report.used) == 22_122_912
    assert report.ignored == ("head.bias", "head.weight", "norm.bias", "norm.weight")
    assert report.skipped == ()


def test_a_loaded_encoder_is_the_one_the_weights_were_written_for(state: dict[str, Tensor]) -> None:
    loaded, expected, x = small(), small(), inp(0, (1, 3, 16, 24))
    load_golden(expected, later_name)
    load_vmamba(loaded, state)
    assert all(torch.equal(*pair) for pair in zip(loaded(x), expected(x), strict=True))


def test_one_channel_gives_what_three_copies_of_it_gave(state: dict[str, Tensor]) -> None:
    one, three, x = small(1), small(3), inp(0, (1, 1, 16, 24))
    assert len(load_vmamba(one, state).used) == len(load_vmamba(three, state).used)
    assert_same(one(x), three(x.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize(("in_channels", "patch"), [(5, 4), (3, 2), (1, 2)])
def test_a_patch_embedding_for_other_inputs_is_skipped_and_reported(
    state: dict[str, Tensor], in_channels: int, patch: int
) -> None:
    encoder, tokens = small(in_channels, patch=patch), inp(0, (1, 4, 6, 8))
    before = {name: tensor.clone() for name, tensor in encoder.patch_embed.state_dict().items()}
    report, expected = load_vmamba(encoder, state), small()
    load_vmamba(expected, state)
    assert report.skipped == tuple(
        f"patch_embed.{name}" for name in ("norm.bias", "norm.weight", "proj.bias", "proj.weight")
    )
    assert len(report.used) + len(report.ignored) + len(report.skipped) == len(state)
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.patch_embed.state_dict().items())
    assert_same(encoder.taps(tokens), expected.taps(tokens))


def refusal(encoder: VSSEncoder, state: dict[str, Tensor]) -> str:
    """The message, after which the encoder is as it was."""
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    with pytest.raises(ValueError, match="checkpoint of another variant") as refused:
        load_vmamba(encoder, state)
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())
    return str(refused.value)


def test_later_releases_are_refused_by_their_names(state: dict[str, Tensor]) -> None:
    later = later_names()
    message = refusal(small(), {later.get(name, name): tensor for name, tensor in state.items()})
    assert "found later (v1, v2) names, width 8, depths (1, 2), expected v0 names, width 8, depths (1, 2)" in message
    assert "43 missing: patch_embed.proj.weight" in message


def test_other_depths_and_widths_are_refused(state: dict[str, Tensor]) -> None:
    message = refusal(small(depths=(1, 1)), state)
    assert "found v0 names, width 8, depths (1, 2), expected v0 names, width 8, depths (1, 1); 13 unknown" in message
    assert "depths (2, 2); 13 missing: layers.0.blocks.1" in refusal(small(depths=(2, 2)), state)
    assert "width 8, depths (1, 2), expected v0 names, width 16, depths (1, 2)" in refusal(small(width=16), state)


def test_another_number_of_states_is_refused_with_both_shapes(state: dict[str, Tensor]) -> None:
    message = refusal(small(states=4), state)
    assert "6 of another shape" in message
    assert "layers.0.blocks.0.self_attention.x_proj_weight (4, 5, 16), not (4, 9, 16)" in message


def test_one_missing_tensor_is_named(state: dict[str, Tensor]) -> None:
    del state["layers.1.blocks.0.ln_1.bias"]
    assert refusal(small(), state).endswith("1 missing: layers.1.blocks.0.ln_1.bias")


def test_a_whole_file_is_refused_for_its_part(state: dict[str, Tensor]) -> None:
    message = refusal(small(), {"model": torch.zeros(1)})
    assert "found no VMamba names, width unknown, depths (), expected" in message
    assert message.endswith("1 unknown: model")
