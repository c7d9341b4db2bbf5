"""Networks that read health records alone, for centers without images.

    linear   h = W x                 outputs = H h + c        a linear model of rank at most `width`, shared by all
    mlp      h = gelu(W x + b)       outputs = H h + c        endpoints and time bins

x (b, covariates) holds scaled numbers, categories as one of several, and flags of what is missing; h is (b, width).
H and c start at zero: before its first step the network gives every case the same risk. No state outside of the
parameters (no running statistics), so that what travels between centers is the whole network.

The encoder W is the tensor group `ehr`, H and c are `head`; there is no backbone and nothing to adapt.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from fusion_models.contract import Assessor, NoFeaturesOfCtError
from fusion_models.options import Sizes

EHR_SMALL: Sizes = {"width": 8}
EHR_TINY: Sizes = {"width": 2}


class EhrAssessor(Assessor):
    """An encoder of health records and a head on its features.

    Args:
        encoder: (b, covariates) -> (b, width).
        covariates: length of the vector.
        width: of the features.
        outputs: of the head.

    Raises:
        ValueError: one of the sizes is below 1.
    """

    def __init__(self, encoder: nn.Module, *, covariates: int, width: int, outputs: int) -> None:
        super().__init__()
        sizes = {"covariates": covariates, "width": width, "outputs": outputs}
        if min(sizes.values()) < 1:
            raise ValueError(f"a network of EHR needs a study with covariates, and sizes of at least 1; found {sizes}")
        self.covariates = covariates
        self.ehr = encoder
        self.head = nn.Linear(width, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

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
    """The linear model; a rank below the number of covariates and outputs makes endpoints share what they learn."""
    encoder = nn.Linear(max(covariates, 1), width, bias=False)
    return EhrAssessor(encoder, covariates=covariates, width=width, outputs=outputs)


def build_mlp(*, crop_zyx: Sequence[int], width: int, outputs: int, covariates: int) -> EhrAssessor:  # noqa: ARG001  (there is no image to crop)
    """One hidden layer."""
    encoder = nn.Sequential(nn.Linear(max(covariates, 1), width), nn.GELU())
    return EhrAssessor(encoder, covariates=covariates, width=width, outputs=outputs)
