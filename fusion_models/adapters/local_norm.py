"""A center's own affine parameters of a normalisation, beside the frozen ones (FedBN, arXiv 2102.07623).

    y = gamma_c * (x - mean) / sqrt(var + eps) + beta_c

Fresh, gamma_c and beta_c are the backbone's, so nothing changes. The backbone keeps its own pair untouched and its
content hash with it. Only normalisations of the backbone are wrapped: those of a pathway train with the pathway.
"""

from collections.abc import Sequence
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusion_models.adapters.keys import is_inside

AffineNorm = nn.LayerNorm | nn.InstanceNorm3d


class LocalNorm(nn.Module):
    """LayerNorm or InstanceNorm3d with gamma_c `norm_weight` and beta_c `norm_bias` in place of its own.

    Raises:
        ValueError: the layer has no affine parameters, or keeps running statistics.
    """

    def __init__(self, base_layer: AffineNorm) -> None:
        super().__init__()
        affine = dict(base_layer.named_parameters())
        if set(affine) != {"weight", "bias"} or getattr(base_layer, "track_running_stats", False):
            raise ValueError(f"{base_layer} must have weight and bias and no running statistics to become local")
        self.base_layer = base_layer
        self.norm_weight, self.norm_bias = (nn.Parameter(affine[name].detach().clone()) for name in ("weight", "bias"))
        base_layer.requires_grad_(requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, (.., d) for LayerNorm or (b, c, z, y, x) for InstanceNorm3d; the shape stays."""
        base = self.base_layer
        if isinstance(base, nn.LayerNorm):
            return F.layer_norm(x, base.normalized_shape, self.norm_weight, self.norm_bias, base.eps)
        return F.instance_norm(x, weight=self.norm_weight, bias=self.norm_bias, eps=base.eps)

    def reset(self) -> None:
        """Take the backbone's values."""
        with torch.no_grad():
            self.norm_weight.copy_(self.base_layer.weight)
            self.norm_bias.copy_(self.base_layer.bias)


def inject_local_norms(model: nn.Module, spared: Sequence[str]) -> None:
    """Wrap, in place, every affine normalisation that the forward pass uses and that lies in none of `spared`."""
    for path, parent in list(model.named_modules()):
        for name, child in list(parent.named_children()):
            inside = is_inside(f"{path}.{name}" if path else name, spared)
            if _is_affine(child) and _is_used(parent, name) and not inside:
                setattr(parent, name, LocalNorm(child))


def reset_local_norms(model: nn.Module) -> None:
    """Give every local normalisation the backbone's values, once the backbone is loaded."""
    for module in model.modules():
        if isinstance(module, LocalNorm):
            module.reset()


def _is_affine(module: nn.Module) -> TypeGuard[AffineNorm]:
    return isinstance(module, nn.LayerNorm | nn.InstanceNorm3d) and bool(dict(module.named_parameters()))


def _is_used(parent: nn.Module, name: str) -> bool:
    """MONAI's transformer block makes `norm_cross_attn` always and calls it only with cross attention."""
    return name != "norm_cross_attn" or bool(getattr(parent, "with_cross_attention", True))
