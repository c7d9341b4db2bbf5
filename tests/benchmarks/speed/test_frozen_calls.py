"""Frozen calls: what no training reaches, by what autograd says, and what a cache would keep of it."""

import pytest
import torch
from torch import Tensor, nn

from tests.support.benchmark_scripts import load_script

frozen_calls = load_script("speed/frozen_calls.py")
Call = frozen_calls.Call
BYTES = 4


class Chain(nn.Module):
    """y = tail(body(norm(stem(x)))) + stem(body(x)), of two features; the body alone trains."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body, self.tail = nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 2)
        self.norm = nn.Sequential(nn.LayerNorm(3), nn.ReLU())
        self.requires_grad_(requires_grad=False)
        self.body.requires_grad_()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.tail(self.body(self.norm(self.stem(x))))
        return y + self.stem(y).mean()


@pytest.fixture
def images() -> Tensor:
    return torch.ones(5, 2)


def test_the_outermost_frozen_calls_are_found_and_what_a_frozen_call_is_given_is_not_kept(images: Tensor) -> None:
    """The sequence, not its two parts; the second call of the stem, and the tail, see what the body says."""
    assert frozen_calls.find_frozen(Chain(), images) == {Call("stem", 0): False, Call("norm", 0): True}


def test_without_anything_that_trains_every_call_is_frozen(images: Tensor) -> None:
    found = frozen_calls.find_frozen(Chain().requires_grad_(requires_grad=False), images)
    assert set(found) == {Call(name, 0) for name in ("stem", "norm", "body", "tail")} | {Call("stem", 1)}


def test_each_pass_keeps_the_outputs_of_five_rows_of_three_values(images: Tensor) -> None:
    """Hooks are gone afterwards."""
    model = Chain()
    calls = frozen_calls.find_frozen(model, images)
    with frozen_calls.measure_calls(model, calls) as spent:
        model(images)
        model(images)
    model(images)
    assert spent.kept_bytes == 2 * 5 * 3 * BYTES
    assert set(spent.by_module) == {"stem", "norm"}
    assert spent.seconds == pytest.approx(sum(spent.by_module.values()))


def test_pemma_unetr_with_adapters_in_attention_freezes_how_ct_is_embedded_and_its_skip() -> None:
    """What is before the first adapter, and the weight that it stands beside; PET's embedding and skip train."""
    networks = load_script("speed/study_networks.py")
    said = networks.StudyNetwork("pemma-unetr-tiny", targets=networks.ATTENTION, crop_zyx=(16, 16, 16))
    ct, pet = networks.draw_images(said.crop_zyx, 1)
    found = frozen_calls.find_frozen(networks.build_network(said).model.eval(), ct, pet)
    before = {"vit.patch_embedding", "vit.blocks.0.norm1", "encoder1"}
    beside = {f"vit.blocks.0.attn.qkv.{name}" for name in ("base_layer", "lora_dropout.default")}
    assert {call.module for call in found} == before | beside
