"""The LoG-VMamba block, its variants and placements, against the figures of the official network (arXiv 2408.14415)."""

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from client.learning.trainable import train_only
from fusion_models.adapters.injection import inject, lora_config
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.log_vmamba.block import VARIANTS, GlobalTokens, LocalExtractor
from fusion_models.log_vmamba.placement import PLACEMENTS
from fusion_models.ssm import s6
from tests.support.sequential_scan import sequential_scan
from tests.support.tiny_block import SIZES, drawn, tiny


def changed_outputs(block: Any, size: tuple[int, ...]) -> list[int]:
    """Raster positions whose output moves with one channel of the last one's input."""
    x = drawn(1, *size, 4).double()
    moved = x.clone()
    moved[(0, *[-1] * len(size), 0)] += 1
    with torch.no_grad():
        return (block.double()(x) != block(moved)).any(-1).flatten().nonzero().flatten().tolist()


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_map_keeps_its_shape_and_its_neighbours_in_the_batch(variant: str, axes: int) -> None:
    block, x = tiny(variant, SIZES[axes]), drawn(2, *SIZES[axes], 4)
    with torch.no_grad():
        y = block(x)
        torch.testing.assert_close(block(x[1:]), y[1:])
    assert y.shape == x.shape
    assert torch.isfinite(y).all()


@pytest.mark.parametrize(("variant", "changed"), [("l", 19), ("l-narrow", 19), ("vss", 10), ("g", 64), ("log", 64)])
def test_only_global_tokens_carry_the_last_pixel_back(variant: str, changed: int) -> None:
    """8 x 8, pixel (7, 7): a 5 x 5 window starts at (5, 5), so 3 of row 5 and rows 6, 7; a 3 x 3 one at (6, 6): 2 + 8.

    Without a global token nothing before the window moves; with one, all 64 do.
    """
    assert changed_outputs(tiny(variant, (8, 8)), (8, 8)) == list(range(64 - changed, 64))


@pytest.mark.parametrize(("placement", "first"), [("head", 0), ("split", 0), ("interleaved", 0), ("middle", 32)])
@pytest.mark.parametrize("variant", ["g", "log"])
def test_locals_behind_a_global_token_know_the_whole_map(variant: str, placement: str, first: int) -> None:
    assert changed_outputs(tiny(variant, (8, 8), placement=placement), (8, 8)) == list(range(first, 64))


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("variant", ["g", "log"])
def test_placements_share_their_weights_and_differ_in_their_output(variant: str, axes: int) -> None:
    x, outputs = drawn(1, *SIZES[axes], 4), []
    state = tiny(variant, SIZES[axes]).state_dict()
    for placement in PLACEMENTS:
        block = tiny(variant, SIZES[axes], placement=placement)
        block.load_state_dict(state, strict=True)
        with torch.no_grad():
            outputs.append(block(x))
    assert all(not torch.equal(a, b) for i, a in enumerate(outputs) for b in outputs[:i])


def test_a_block_has_no_state_beside_its_parameters() -> None:
    block = tiny()
    assert set(block.state_dict()) == set(dict(block.named_parameters()))


@pytest.mark.parametrize("size", SIZES.values())
@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize(("variant", "more"), [("vss", 0), ("g", 8)])
def test_tokens_are_in_raster_order_and_find_back(
    variant: str, more: int, placement: str, size: tuple[int, ...]
) -> None:
    """A map of its own raster numbers: locals count upwards whatever stands between them."""
    block = tiny(variant, size, placement=placement)
    block.extractor.local = nn.Identity()
    count = math.prod(size)
    m = torch.arange(float(count)).reshape(1, *size, 1).expand(1, *size, 8)
    with torch.no_grad():
        tokens = block.extractor(m)
        assert tokens.shape == (1, count + more, 8)
        found = block.extractor.on_map(tokens)
    assert torch.equal(found, m)
    assert found[..., 0].flatten().tolist() == list(range(count))
    local_at = getattr(block.extractor, "local_at", torch.arange(count))
    assert tokens[0, local_at, 0].tolist() == list(range(count))


def test_globals_stand_where_the_placement_puts_them_in_order() -> None:
    """16 locals, 8 globals: I = 2, P = 3 divides evenly, so a global at 0, 3, .. 21."""
    block = tiny("g")
    block.extractor.local = nn.Identity()
    m = drawn(1, 4, 4, 8)
    with torch.no_grad():
        tokens = block.extractor(m)
        assert torch.equal(tokens[:, ::3], block.extractor.gtx(m))


def by_definition(block: Any, x: Tensor) -> Tensor:
    """A 2D LoG block with its globals at the head, written out on channel-first maps."""
    u = F.layer_norm(x, x.shape[-1:], block.norm.weight, block.norm.bias, block.norm.eps)
    az = u @ block.in_proj.weight.T
    inner = az.shape[-1] // 2
    a, z = az[..., :inner].permute(0, 3, 1, 2), az[..., inner:]
    local, gtx = block.extractor.local.conv, block.extractor.gtx
    m = F.silu(F.conv2d(a, local.weight, local.bias, padding=1, groups=local.out_channels))
    v = F.unfold(m, 3, padding=1)
    coarse = F.conv2d(
        v.unflatten(2, x.shape[1:3]), gtx.conv.weight, gtx.conv.bias, stride=2, padding=1, groups=gtx.tokens
    )
    g = F.silu(coarse.flatten(2) @ gtx.mix.weight.T + gtx.mix.bias)
    y = block.scan(torch.cat([g, v.transpose(1, 2)], dim=1))[:, gtx.tokens :]
    y = (y @ block.fold.weight.T).unflatten(1, x.shape[1:3])
    y = F.layer_norm(y, (inner,), block.out_norm.weight, block.out_norm.bias, block.out_norm.eps)
    return x + (y * F.silu(z)) @ block.out_proj.weight.T


def test_a_block_equals_its_definition_written_out() -> None:
    block, x = tiny(size=(4, 6), squeeze=3, placement="head"), drawn(2, 4, 6, 4)
    with torch.no_grad():
        for each in block.parameters():
            each.add_(0.1 * drawn(*each.shape, seed=each.numel()))
        torch.testing.assert_close(block(x), by_definition(block, x))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("axes", [2, 3])
def test_the_scan_equals_a_loop_over_tokens(variant: str, axes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    block, x = tiny(variant, SIZES[axes]), drawn(1, *SIZES[axes], 4)
    with torch.no_grad():
        fast = block(x)
        monkeypatch.setattr(s6, "selective_scan_fn", sequential_scan)
        torch.testing.assert_close(fast, block(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("variant", "size"), [("log", (2, 2)), ("g", (2, 2, 2))])
def test_gradients_agree_with_finite_differences(variant: str, size: tuple[int, ...]) -> None:
    block = tiny(variant, size, width=2, compression=2, squeeze=2).double()
    u = drawn(1, *size, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(block.mix, u, rtol=1e-6, atol=1e-9)


def test_rows_and_columns_are_not_interchangeable() -> None:
    block, x = tiny(), drawn(1, 4, 4, 4)
    with torch.no_grad():
        difference = block(x) - block(x.transpose(1, 2)).transpose(1, 2)
    assert float(difference.abs().max()) > 1e-4


def test_a_silent_output_projection_leaves_the_identity() -> None:
    block, x = tiny(), drawn(1, 4, 4, 4)
    nn.init.zeros_(block.out_proj.weight)
    assert torch.equal(block(x), x)


def test_a_block_is_dropped_in_training_only() -> None:
    block, x = tiny(drop_path=1.0), drawn(1, 4, 4, 4)
    with torch.no_grad():
        assert torch.equal(block.train()(x), x)
        assert not torch.equal(block.eval()(x), x)


@pytest.mark.parametrize("variant", ["g", "log"])
def test_global_tokens_act_through_the_state_alone(variant: str) -> None:
    block = tiny(variant)
    scanned: list[Any] = []

    def note(_module: nn.Module, _inputs: object, y: Tensor) -> None:
        y.retain_grad()
        scanned.append(y)

    handle = block.scan.register_forward_hook(note)
    x = drawn(1, 4, 4, 4)
    y = block(x)
    y.square().sum().backward()
    silent = (scanned[0].grad == 0).all(-1)[0]
    expected = torch.ones_like(silent)
    expected[block.extractor.local_at] = False
    assert torch.equal(silent, expected)
    assert all(bool(each.grad.any()) for each in block.extractor.gtx.parameters())
    handle.remove()
    block.extractor = LocalExtractor(block.extractor.local, (4, 4))
    assert not torch.equal(block(x), y)


@pytest.mark.parametrize("norm_eps", [1e-5, 1e-6])
def test_the_first_norm_has_the_given_epsilon(norm_eps: float) -> None:
    block = tiny(norm_eps=norm_eps)
    assert (block.norm.eps, block.out_norm.eps) == (norm_eps, 1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_scan_stays_in_full_precision_under_autocast(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def spy(u: Tensor, delta: Tensor, *rest: Any, **options: Any) -> Any:
        seen.append((u.dtype, delta.dtype))
        return sequential_scan(u, delta, *rest, **options)

    monkeypatch.setattr(s6, "selective_scan_fn", spy)
    block, x = tiny(variant), drawn(1, 4, 4, 4)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        y = block(x)
    assert seen == [(torch.float32, torch.float32)]
    torch.testing.assert_close(y, block(x).detach(), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("method", ["lora", "dora"])
@pytest.mark.parametrize(
    ("variant", "size", "targets"),
    [
        ("log", (4, 4), ("in_proj", "x_proj", "fold", "out_proj")),
        ("l", (2, 4, 2), ("in_proj", "x_proj", "fold", "out_proj")),
        ("g", (2, 4, 2), ("in_proj", "x_proj", "out_proj")),
    ],
)
def test_each_adapter_tensor_is_alive(variant: str, size: tuple[int, ...], targets: Any, method: str) -> None:
    """Fresh: the identity. B and the magnitude learn at once, A after one step: with B = 0 its gradient is zero."""
    block, x = tiny(variant, size), drawn(1, *size, 4)
    before = block(x).detach()
    inject(block, lora_config(method=method, rank=2, alpha=4, targets=targets), seed=0)
    trained: dict[str, Any] = train_only(block.eval(), ("peft",), {})
    assert {key.partition("#")[0].rpartition(".")[2] for key in trained} == set(targets)
    assert torch.equal(block(x), before)
    optimiser = torch.optim.SGD(trained.values(), lr=0.1)
    for alive in (("lora_b", "magnitude"), ("lora_a", "lora_b", "magnitude")):
        optimiser.zero_grad()
        block(x).square().sum().backward()
        assert all(torch.isfinite(each.grad).all() for each in trained.values())
        found = {key for key, each in trained.items() if each.grad.any()}
        assert found == {key for key in trained if key.endswith(alive)}
        optimiser.step()


def test_only_blocks_that_unfold_have_a_fold() -> None:
    folds = {name: any("fold" in key for key in parameters_by_key(tiny(name))) for name in VARIANTS}
    assert folds == {"vss": False, "l": True, "g": False, "log": True, "l-narrow": True}


def test_every_weight_learns() -> None:
    for variant, axes in ((v, n) for v in VARIANTS for n in SIZES):
        block = tiny(variant, SIZES[axes])
        block(drawn(1, *SIZES[axes], 4)).square().sum().backward()
        assert [key for key, each in block.named_parameters() if not each.grad.any()] == []


def test_a_copy_computes_the_same() -> None:
    block, x = tiny(), drawn(1, 4, 4, 4)
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(block)(x), block(x))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", [(1, 4, 8, 4), (1, 2, 8, 4), (1, 4, 4, 6), (4, 4, 4), (1, 4, 4, 4, 4)])
def test_maps_of_another_size_are_refused(variant: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"another map size: expected \(b, 4, 4, 4\), found") as error:
        tiny(variant)(torch.zeros(shape))
    assert f"found {shape}" in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "lg"}, "variant must be one of vss, l, g, log, l-narrow, found 'lg'"),
        ({"placement": "tail"}, "placement must be one of head, .* found 'tail'"),
        ({"size": (4,)}, r"two or three positive map sizes, found \(4,\)"),
        ({"size": (4, 0)}, r"two or three positive map sizes, found \(4, 0\)"),
        ({"compression": 3}, "must divide the 8 inner channels and be at most the width 4, found 3"),
        ({"compression": 8}, "be at most the width 4, found 8"),
        ({"compression": 0}, "must divide .* found 0"),
        ({"squeeze": 5}, "squeeze must divide the 18 channels .* found 5"),
        ({"stride": 3}, "stride .* found 3"),
        ({"global_tokens": None}, "global_tokens of variant 'log' must be a GlobalTokens, found None"),
        ({"variant": "l", "global_tokens": GlobalTokens(2, 1, "head")}, "variant 'l' must be None, found GlobalTokens"),
    ],
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**options)
