"""DoRA's row gain held still while a factor trains.

    W = diag(d) (W0 + s B A),    d = m / rho(W0 + s B A),    rho the L2 norm of each row

A phase that trains A or B but not m keeps d: after each step of the optimiser m = d * rho(W0 + s B A). peft detaches
rho in backward, so the gradients of such a phase are exactly those of W = diag(d) W0 + s diag(d) B A with d constant,
in which W is linear in the live factor: what the coordinator averages then is what the centers trained.
"""

from collections.abc import Sequence

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from fusion_models.adapters.injection import adapter_layers

SHARED = "default"


class PinnedGain:
    """The gains of some DoRA layers as they are now; `restore` brings the magnitudes back to them."""

    def __init__(self, layers: Sequence[LoraLayer]) -> None:
        self._gains = [(layer, gain_of(layer)) for layer in layers]

    @torch.no_grad()
    def restore(self) -> None:
        """m = d * rho(W0 + s B A) with the factors of this moment."""
        for layer, gain in self._gains:
            layer.lora_magnitude_vector[SHARED].weight.copy_(gain * row_norms(layer))


def pin_gain(model: nn.Module) -> PinnedGain:
    """The gains of those layers whose magnitude is frozen while A or B trains; of none for LoRA."""
    return PinnedGain([layer for layer in adapter_layers(model).values() if _follows(layer)])


@torch.no_grad()
def gain_of(layer: LoraLayer) -> Tensor:
    """d = m / rho(W0 + s B A), in the shape of the magnitude: (d,) or (1, d, 1, 1, 1)."""
    gain: Tensor = layer.lora_magnitude_vector[SHARED].weight / row_norms(layer)
    return gain


@torch.no_grad()
def row_norms(layer: LoraLayer) -> Tensor:
    """rho(W0 + s B A) by peft's own rule, in the shape of the magnitude."""
    weight, b, a = layer.get_base_layer().weight, layer.lora_B[SHARED].weight, layer.lora_A[SHARED].weight
    product = (b.flatten(1) @ a.flatten(1)).reshape(weight.shape)
    norms: Tensor = layer.lora_magnitude_vector[SHARED].get_weight_norm(weight, product, layer.scaling[SHARED])
    return norms


def _follows(layer: LoraLayer) -> bool:
    if SHARED not in layer.lora_magnitude_vector or layer.lora_magnitude_vector[SHARED].weight.requires_grad:
        return False
    return any(factor[SHARED].weight.requires_grad for factor in (layer.lora_A, layer.lora_B))
