"""The blocked scan under torch.func, and what its graph keeps."""

from typing import Any

import pytest
import torch
from torch import Tensor

from fusion_models.ssm.selective_scan import selective_scan_fn
from tests.support.scan_arguments import ALL, arguments
from tests.support.sequential_scan import sequential_scan


@pytest.mark.parametrize("trained", [ALL, ("A",), ("u", "B"), ("delta",)])
@pytest.mark.usefixtures("small_slabs")
def test_gradients_of_each_sample_are_those_of_samples_alone(trained: tuple[str, ...]) -> None:
    given = arguments(5, 4, 33, 2, groups=2)
    per_sample = [name for name in given if given[name].ndim > 2]

    def loss(leaves: dict[str, Any], sample: dict[str, Any]) -> Tensor:
        batch = {name: x[None] for name, x in ({**given, **sample} | leaves).items() if name in per_sample}
        y, last = selective_scan_fn(**({**given} | leaves | batch), delta_softplus=True, return_last_state=True)
        return y.square().sum() + last.sum()

    shared = {name: given[name] for name in trained if name not in per_sample}
    own = {name: given[name] for name in per_sample}

    def of_one(own: dict[str, Any]) -> dict[str, Any]:
        leaves = shared | {name: own[name] for name in trained if name in own}
        return torch.func.grad(loss)(leaves, {name: x for name, x in own.items() if name not in leaves})

    together = torch.func.vmap(of_one)(own)
    alone = [of_one({name: x[i] for name, x in own.items()}) for i in range(5)]
    torch.testing.assert_close(together, {name: torch.stack([one[name] for one in alone]) for name in together})


def test_the_jacobian_maps_the_backward_pass_alone() -> None:
    given = arguments(2, 2, 5, 2)

    def scan(A: Tensor) -> Tensor:
        return selective_scan_fn(**given | {"A": A})

    expected = torch.autograd.functional.jacobian(lambda A: sequential_scan(**given | {"A": A}), given["A"])
    torch.testing.assert_close(torch.func.jacrev(scan)(given["A"]), expected)


def test_an_ensemble_maps_over_decays() -> None:
    given = arguments(2, 4, 9, 3)
    decays = torch.stack([given["A"], 2 * given["A"]])

    def gradient(A: Tensor) -> Tensor:
        return torch.func.grad(lambda A: selective_scan_fn(**given | {"A": A}).square().sum())(A)

    torch.testing.assert_close(torch.func.vmap(gradient)(decays), torch.stack([gradient(A) for A in decays]))


def test_second_derivatives_are_refused() -> None:
    given = arguments(1, 2, 3, 1)
    u = given["u"].requires_grad_()
    [first] = torch.autograd.grad(selective_scan_fn(**given).square().sum(), u, create_graph=True)
    with pytest.raises(NotImplementedError, match=r"selective scan has first derivatives only"):
        first.sum().backward()


def test_only_border_states_outlive_the_forward_pass() -> None:
    # 64 blocks of 32 steps keep 64 states of 2 x 8 values; all states would be 2048 of them.
    given = {name: x.requires_grad_() for name, x in arguments(1, 2, 2048, 8).items() if name not in ("D", "z")}
    kept: list[Tensor] = []

    def keep(x: Tensor) -> Tensor:
        kept.append(x)
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        selective_scan_fn(**given)
    assert max(x.numel() for x in kept) == 2048 * 8
    assert sum(x.shape == (1, 64, 1, 8, 2) for x in kept) == 1
