"""Banks of one projection: whose rows they act on, and that what was said of a call ends with it."""

from threading import Thread

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fusion_models.adapters.injection import adapter_layers, inject, inject_beside, lora_config
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.adapters.routing import BANKS, RoutedProjection, fused_rows, insert_banks, rows_of

HEIGHTS = {"ct": 10.0, "pet": 100.0, "fusion": 1000.0}
ROW = torch.ones(1, 1)


class Net(nn.Module):
    """One projection."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.proj = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


def routed(layer: nn.Module, rank: int = 1) -> Net:
    """A network with banks at scale 1; A is drawn, B zero."""
    net = Net(layer)
    targets = insert_banks(net, ["proj"])
    inject(net, lora_config(method="lora", rank=rank, alpha=rank, targets=targets), seed=0)
    return net


def counting() -> Net:
    """2 x and 10, 100, 1000 x of the banks ct, pet, fusion: the answer to 1 spells out what acted."""
    net = routed(nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        for key, parameter in parameters_by_key(net).items():
            bank = key.removeprefix("proj.").partition("_bank")[0]
            parameter.fill_(2 if key == "proj.weight" else HEIGHTS[bank] if key.endswith("_b") else 1)
    return net


def drawn(layer: nn.Module, rank: int = 2) -> Net:
    net = routed(layer, rank)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_()
    return net


def answers(net: Net, rows: int = 1) -> list[float]:
    return net(ROW.expand(rows, 1)).flatten().tolist()


def test_a_row_passes_the_banks_of_what_it_is_made_of() -> None:
    net = counting()
    with rows_of({"ct": 1}, axis=0):
        assert answers(net) == [12]
    with rows_of({"pet": 1}, axis=0):
        assert answers(net) == [102]
    with rows_of({"ehr": 1, "ct": 1, "pet": 2}, axis=0):
        assert answers(net, 4) == [2, 1012, 1102, 1102]
    with rows_of({"ct": 1}, axis=0, beside={"pet"}):
        assert answers(net) == [1012]
    with rows_of({"ehr": 2}, axis=0):
        assert answers(net, 2) == [2, 2]


@pytest.mark.parametrize(("present", "answer"), [(("ct",), 12), (("pet",), 102), (("ct", "pet"), 1112)])
def test_a_fused_row_passes_the_banks_of_all_that_is_present(present: tuple[str, ...], answer: float) -> None:
    with fused_rows(present):
        assert answers(counting(), 3) == [answer] * 3


def test_rows_may_lie_along_another_axis() -> None:
    """Tokens (b, n, d): the first of CT, two of PET, in both cases of the batch."""
    with rows_of({"ct": 1, "pet": 2}, axis=1):
        found = counting()(torch.ones(2, 3, 1))
    assert found[..., 0].tolist() == [[1012, 1102, 1102]] * 2


def test_what_is_said_ends_with_the_block_and_an_inner_block_hides_it_for_a_while() -> None:
    net = counting()
    with rows_of({"ct": 1}, axis=0):
        with fused_rows({"pet"}):
            assert answers(net) == [102]
        assert answers(net) == [12]
    with pytest.raises(ValueError, match="this call says nothing"):
        answers(net)


def test_what_is_said_ends_with_the_block_that_raises() -> None:
    net = counting()
    with pytest.raises(RuntimeError, match="within"), rows_of({"ct": 1}, axis=0):
        raise RuntimeError("within")
    with pytest.raises(ValueError, match="this call says nothing"):
        answers(net)


def test_another_thread_hears_nothing_of_it() -> None:
    net, heard = counting(), list[str]()

    def ask() -> None:
        try:
            answers(net)
        except ValueError as error:
            heard.append(str(error))

    with rows_of({"ct": 1}, axis=0):
        thread = Thread(target=ask)
        thread.start()
        thread.join()
    assert len(heard) == 1


def test_computing_again_in_backward_is_refused() -> None:
    """Nobody says there whose rows they are, and a guess would train the wrong bank."""
    net, x = counting(), ROW.clone().requires_grad_()
    with rows_of({"ct": 1}, axis=0):
        y = checkpoint(net, x, use_reentrant=False)
    with pytest.raises(ValueError, match="compute nothing again in backward"):
        y.sum().backward()


def test_other_rows_than_were_said_are_refused() -> None:
    with (
        rows_of({"ct": 1, "pet": 1}, axis=0),
        pytest.raises(ValueError, match=r"given 3 rows on axis 0 .* expected \[1, 1\]"),
    ):
        answers(counting(), 3)
    with rows_of({"ct": 1}, axis=0), pytest.raises(ValueError, match="given 2 rows"):
        answers(counting(), 2)


def test_a_projection_without_a_twin_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cannot have adapter banks; known are \['Conv2d', 'Conv3d', 'Linear'\]"):
        RoutedProjection(nn.ConvTranspose3d(1, 1, 2))


LAYERS = [
    (lambda: nn.Linear(5, 3), (4, 5)),
    (lambda: nn.Conv2d(2, 3, 3, stride=2, padding=1), (4, 2, 5, 6)),
    (lambda: nn.Conv3d(2, 3, 2, padding=1, bias=False), (4, 2, 3, 4, 3)),
]


@pytest.mark.parametrize(("build", "shape"), LAYERS, ids=["linear", "conv2d", "conv3d"])
def test_a_fresh_bank_is_the_identity_for_every_row(build, shape: tuple[int, ...]) -> None:
    layer, x = build(), torch.randn(shape)
    expected, net = layer(x), routed(layer)
    with rows_of({"ct": 1, "pet": 3}, axis=0):
        assert torch.equal(net(x), expected)


def test_the_weight_is_there_once_and_each_bank_has_r_times_in_plus_out() -> None:
    """Linear 5 -> 3 at rank 2: 3 x 2 (5 + 3) beside 18 weights; Conv3d 2 -> 3 of 2^3: 3 x 2 (16 + 3) beside 48."""
    for layer, own, bank in ((nn.Linear(5, 3), 18, 16), (nn.Conv3d(2, 3, 2, bias=False), 48, 38)):
        net = routed(layer, rank=2)
        sizes = {key: parameter.numel() for key, parameter in parameters_by_key(net).items()}
        assert sum(size for key, size in sizes.items() if "#" not in key) == own
        assert sum(sizes.values()) == own + 3 * bank
        assert sorted(adapter_layers(net)) == sorted(f"proj.{name}_bank" for name in BANKS)


@pytest.mark.parametrize("build", [build for build, _ in LAYERS], ids=["linear", "conv2d", "conv3d"])
def test_banks_of_a_row_merge_into_one_weight(build) -> None:
    """W + s (B_ct A_ct + B_fusion A_fusion) answers as CT's rows beside PET are answered."""
    net = drawn(build()).double()
    x = torch.randn(next(shape for other, shape in LAYERS if other is build), dtype=torch.float64)
    found = parameters_by_key(net)
    of_ct, of_both = (
        found[f"proj.{bank}_bank#lora_b"].flatten(1) @ found[f"proj.{bank}_bank#lora_a"].flatten(1)
        for bank in ("ct", "fusion")
    )
    merged = build().double()
    with torch.no_grad():
        merged.weight.copy_(found["proj.weight"] + (of_ct + of_both).reshape(merged.weight.shape))
        if merged.bias is not None:
            merged.bias.copy_(found["proj.bias"])
        with rows_of({"ct": len(x)}, axis=0, beside={"pet"}):
            assert torch.allclose(net(x), merged(x), rtol=1e-12, atol=1e-12)


def test_a_rows_gradient_reaches_its_own_banks_and_no_other() -> None:
    net = drawn(nn.Linear(5, 3))
    with rows_of({"ct": 4}, axis=0):
        net(torch.randn(4, 5)).square().sum().backward()
    reached = {key for key, parameter in parameters_by_key(net).items() if parameter.grad is not None}
    assert reached == {"proj.ct_bank#lora_a", "proj.ct_bank#lora_b"}


def test_each_bank_sees_its_own_rows_alone() -> None:
    """What a hook on a bank's layer measures is what the Gram anchor remembers of the bank."""
    net, seen = drawn(nn.Linear(5, 3)), dict[str, Tensor]()
    for name, layer in adapter_layers(net).items():
        layer.register_forward_pre_hook(lambda _, given, name=name: seen.update({name: given[0]}))
    x = torch.randn(3, 5)
    with rows_of({"ct": 1, "pet": 2}, axis=0):
        net(x)
    assert torch.equal(seen["proj.ct_bank"], x[:1])
    assert torch.equal(seen["proj.pet_bank"], x[1:])


def test_a_centers_own_adapter_and_a_residual_are_a_banks_too() -> None:
    net = counting()
    inject_beside(net, "center", {"proj.pet_bank": 1}, seed=0)
    inject_beside(net, "residual", {"proj.ct_bank": 1}, seed=0)
    with torch.no_grad():
        for key, parameter in parameters_by_key(net).items():
            if "#center" in key or "#residual" in key:
                parameter.fill_(3)
    with rows_of({"ct": 1}, axis=0):
        assert answers(net) == [12 + 9]
    with rows_of({"pet": 1}, axis=0):
        assert answers(net) == [102 + 9]


def test_without_its_adapters_a_routed_projection_is_the_frozen_one() -> None:
    net = drawn(nn.Linear(5, 3))
    for layer in adapter_layers(net).values():
        layer.enable_adapters(enabled=False)
    found, x = parameters_by_key(net), torch.randn(2, 5)
    with rows_of({"ct": 1, "pet": 1}, axis=0):
        assert torch.equal(net(x), F.linear(x, found["proj.weight"], found["proj.bias"]))


def test_under_autocast_the_answer_has_the_projections_type() -> None:
    net = drawn(nn.Linear(5, 3))
    with torch.autocast("cpu", torch.bfloat16), rows_of({"ct": 1, "pet": 1}, axis=0):
        assert net(torch.randn(2, 5)).dtype == torch.bfloat16
