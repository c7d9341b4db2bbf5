"""The selective scan: one recurrence, whatever the layout, the length and the path."""

from typing import Any

import pytest
import torch
from torch import Tensor

from fusion_models.ssm.selective_scan import selective_scan_fn
from tests.support.scan_arguments import ALL, arguments, of_leaves
from tests.support.sequential_scan import sequential_scan


def test_a_scan_that_can_be_done_by_hand() -> None:
    # Delta = 1 and A = -ln 2 halve the state: 1, 0.5 + 2, 1.25 + 0 ; C = 2, D = 10.
    one = torch.ones(1, 1, 3)
    u = torch.tensor([[[1.0, 2.0, 0.0]]])
    y, last = selective_scan_fn(
        u, one, -torch.log(torch.tensor([[2.0]])), one, 2 * one, torch.tensor([10.0]), return_last_state=True
    )
    torch.testing.assert_close(y, torch.tensor([[[12.0, 25.0, 2.5]]]))
    torch.testing.assert_close(last, torch.tensor([[1.25]])[None])


@pytest.mark.parametrize(
    "shape",
    [(2, 6, 1, 1, 1), (1, 4, 37, 3, 2), (3, 4, 200, 16, 1), (2, 4, 300, 1, 4), (2, 4, 40, 64, 2), (40, 96, 33, 16, 2)],
)
def test_outputs_and_gradients_are_those_of_the_definition(shape: tuple[int, int, int, int, int]) -> None:
    given = arguments(*shape)
    (found, gradients), (expected, by_definition) = (
        of_leaves(selective_scan_fn, given),
        of_leaves(sequential_scan, given),
    )
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients, by_definition)


@pytest.mark.parametrize("missing", [(), ("D",), ("z",), ("delta_bias",), ("D", "z", "delta_bias")])
@pytest.mark.usefixtures("small_slabs")
def test_gradcheck_in_double_precision_with_any_of_the_optional_arguments(missing: tuple[str, ...]) -> None:
    given = {name: x.requires_grad_() for name, x in arguments(2, 4, 33, 2, groups=2).items() if name not in missing}

    def scan(*tensors: Tensor) -> tuple[Tensor, ...]:
        return selective_scan_fn(**dict(zip(given, tensors, strict=True)), delta_softplus=True, return_last_state=True)

    assert torch.autograd.gradcheck(scan, tuple(given.values()), fast_mode=True)


def test_float32_at_a_real_size_is_exact_to_five_digits() -> None:
    given = arguments(1, 96, 3136, 16)
    expected: Any = sequential_scan(**given, delta_softplus=True)
    found: Any = selective_scan_fn(**{name: x.float() for name, x in given.items()}, delta_softplus=True)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_any_strides_give_the_same() -> None:
    given = arguments(2, 4, 50, 3, groups=2)
    time_last = {name: x.contiguous() for name, x in given.items()}
    assert torch.equal(selective_scan_fn(**given), selective_scan_fn(**time_last))


def test_three_axes_are_one_group() -> None:
    given = arguments(2, 4, 9, 3)
    of_three = given | {name: given[name][:, 0] for name in "BC"}
    assert torch.equal(selective_scan_fn(**of_three), selective_scan_fn(**given))


def test_channels_innermost_stay_so() -> None:
    given = arguments(2, 4, 9, 3)
    found = selective_scan_fn(*(given[name] for name in ALL[:6]))
    assert found.transpose(1, 2).is_contiguous()


@pytest.mark.usefixtures("small_slabs")
def test_a_decay_that_underflows_forgets_and_makes_no_nan() -> None:
    # exp(-1e4) is 0: the state is what the step itself brings, y = Delta B u C = 1e4 * 3 * 2.
    u, delta = torch.full((1, 2, 70), 3.0), torch.full((1, 2, 70), 1e4)
    leaves: list[Any] = [
        x.requires_grad_() for x in (u, delta, -torch.ones(2, 1), torch.ones(1, 1, 70), torch.full((1, 1, 70), 2.0))
    ]
    y = selective_scan_fn(*leaves)
    y.sum().backward()
    assert torch.equal(y, torch.full_like(y, 6e4))
    assert all(torch.isfinite(x.grad).all() for x in leaves)
    assert torch.equal(leaves[0].grad, torch.full_like(u, 2e4))


def test_an_empty_batch_has_an_empty_answer() -> None:
    given = {name: x[:0] if x.ndim > 2 else x for name, x in arguments(2, 4, 9, 3).items()}
    assert selective_scan_fn(**given).shape == (0, 4, 9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ALL)
def test_half_precision_is_refused_wherever_it_stands(name: str, dtype: torch.dtype) -> None:
    given = arguments(1, 2, 3, 1, dtype=torch.float32)
    found = str(dtype).removeprefix("torch.")
    with pytest.raises(ValueError, match=rf"needs float32 \(or float64 on the CPU\), found {found} in {name}; leave"):
        selective_scan_fn(**given | {name: given[name].to(dtype)})


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("A", lambda x: x.to(torch.complex128), r"real float32 .* found complex128 in A"),
        ("B", lambda x: x.float(), r"u's number type everywhere, found float32 in B"),
        ("u", lambda x: x[..., :0], r"u has shape \(2, 4, 0\), expected .* length at least 1"),
        ("delta", lambda x: x[..., 1:], r"delta has shape \(2, 4, 8\), expected \(2, 4, 9\)"),
        ("A", lambda x: x[1:], r"A has shape \(3, 3\), expected \(4, states\)"),
        ("B", lambda x: x[:, :, 1:], r"B has shape \(2, 2, 2, 9\), expected \(2, 3, 9\) or \(2, groups, 3, 9\)"),
        ("C", lambda x: x[:1], r"C has shape \(1, 2, 3, 9\), expected"),
        ("C", lambda x: x[:, 0], r"B has 2 groups and C 1; expected one number that divides 4 channels"),
        ("D", lambda x: x[1:], r"D has shape \(3,\), expected \(4,\)"),
        ("z", lambda x: x[:, 1:], r"z has shape \(2, 3, 9\), expected \(2, 4, 9\)"),
        ("delta_bias", lambda x: x[None], r"delta_bias has shape \(1, 4\), expected \(4,\)"),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(name: str, change, message: str) -> None:
    given = arguments(2, 4, 9, 3, groups=2)
    with pytest.raises(ValueError, match=message):
        selective_scan_fn(**given | {name: change(given[name])})


def test_groups_must_divide_the_channels() -> None:
    given = arguments(2, 4, 9, 3)
    three = {name: given[name].repeat(1, 3, 1, 1) for name in "BC"}
    with pytest.raises(ValueError, match=r"B has 3 groups and C 3; expected one number that divides 4 channels"):
        selective_scan_fn(**given | three)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_both_devices_agree() -> None:
    given = arguments(2, 8, 300, 4, groups=2, dtype=torch.float32)
    found, gradients = of_leaves(selective_scan_fn, {name: x.cuda() for name, x in given.items()})
    expected, on_the_cpu = of_leaves(selective_scan_fn, given)
    torch.testing.assert_close([x.cpu() for x in found], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close({k: x.cpu() for k, x in gradients.items()}, on_the_cpu, rtol=1e-3, atol=1e-3)
