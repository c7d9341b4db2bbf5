"""Networks that read health records alone, for centers without images.

    linear, width 0    h = W x              outputs = h + c      an effect of every covariate on every output
    linear, width w    h = W x              outputs = H h + c    the same of rank w: endpoints and bins share effects
    mlp                h = gelu(W x + b)    outputs = H h + c

x (b, covariates) holds scaled numbers, categories as one of several, and flags of what is missing; h is (b, width), or
(b, outputs) where each output has effects of its own. Whatever comes last of W and H starts at zero, and so does c:
before its first step the network gives every case the same risk. No state outside of the parameters (no running
statistics), so that what travels between centers is the whole network.

The encoder (W, b) is the tensor group `ehr`, H and c are `head`; there is no backbone and nothing to adapt.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusion_models.contract import Assessor, NoFeaturesOfCtError
from fusion_models.options import Sizes

LINEAR_SMALL: Sizes = {"width": 0}
LINEAR_TINY: Sizes = {"width": 2}
MLP_SMALL: Sizes = {"width": 8}
MLP_TINY: Sizes = {"width": 2}


class Baseline(nn.Module):
    """What every case has in common: c, added to the outputs (b, outputs)."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, effects: Tensor) -> Tensor:
        """Outputs (b, outputs)."""
        return effects + self.bias


class EhrAssessor(Assessor):
    """An encoder of health records (b, covariates) and a head on its features."""

    def __init__(self, encoder: nn.Module, head: nn.Module, *, covariates: int) -> None:
        super().__init__()
        self.covariates = covariates
        self.ehr, self.head = encoder, head

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Tensor:
        """Features (b, width) of a vector (b, covariates).

        Raises:
            ValueError: there is no vector, one of another length, or an image.
        """
        images = [name for name, image in (("CT", ct), ("PET", pet)) if image is not None]
        if images:
            raise ValueError(f"{type(self).__name__} reads EHR alone, found {' and '.join(images)}")
        if ehr is None:
            raise ValueError(f"{type(self).__name__} needs EHR, found none")
        if tuple(ehr.shape[1:]) != (self.covariates,):
            raise ValueError(f"EHR must have shape (b, {self.covariates}), found {tuple(ehr.shape)}")
        features: Tensor = self.ehr(ehr)
        return features

    def answer(self, features: Tensor) -> Tensor:
        """Outputs (b, outputs) of features (b, width)."""
        outputs: Tensor = self.head(features)
        return outputs

    def pool_features(self, ct: Tensor) -> Tensor:  # noqa: ARG002  (there is no CT to read)
        """No features of CT.

        Raises:
            NoFeaturesOfCtError: always.
        """
        raise NoFeaturesOfCtError(self)


def build_linear(*, crop_zyx: Sequence[int], width: int, outputs: int, covariates: int) -> EhrAssessor:  # noqa: ARG001  (there is no image to crop)
    """The linear model, of rank `width` or, with 0, of every effect alone.

    Raises:
        ValueError: covariates or outputs are none.
    """
    _check_sizes(outputs, covariates)
    encoder = nn.Linear(covariates, width or outputs, bias=False)
    head = _zero_linear(width, outputs) if width else Baseline(outputs)
    if not width:
        nn.init.zeros_(encoder.weight)
    return EhrAssessor(encoder, head, covariates=covariates)


def build_mlp(*, crop_zyx: Sequence[int], width: int, outputs: int, covariates: int) -> EhrAssessor:  # noqa: ARG001  (there is no image to crop)
    """One hidden layer.

    Raises:
        ValueError: covariates or outputs are none.
    """
    _check_sizes(outputs, covariates)
    encoder = nn.Sequential(nn.Linear(covariates, width), nn.GELU())
    return EhrAssessor(encoder, _zero_linear(width, outputs), covariates=covariates)


def _check_sizes(outputs: int, covariates: int) -> None:
    if min(outputs, covariates) < 1:
        raise ValueError(
            f"a network of EHR needs a study with covariates and a task of whole cases; found {covariates} covariates "
            f"and {outputs} outputs"
        )


def _zero_linear(width: int, outputs: int) -> nn.Linear:
    head = nn.Linear(width, outputs)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head
