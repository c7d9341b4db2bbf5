"""What every network of the platform is: an encoder, and what reads its features: for a mask, a case or an image.

Images are (b, 1, z, y, x) in [0, 1], health records (EHR) a vector (b, covariates), both float32. What a case does not
have is None all the way down, never zeros. What a network never reads it refuses, so that nothing is lost in silence.

No state learns outside of the parameters: parameters travel between centers, running statistics do not.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn


class NoFeaturesOfCtError(ValueError):
    """A network that has no features of CT alone: it does not read CT, or not without PET."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(f"{type(model).__name__} has no features of CT alone; use another model or no router")


class FusionModel(nn.Module, ABC):
    """A network of CT, PET and EHR."""

    @abstractmethod
    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Any:
        """Features of what is there; their form is the network's own.

        Raises:
            ValueError: nothing is there, too little, something that the network never reads, or another shape.
        """

    @abstractmethod
    def pool_features(self, ct: Tensor) -> Tensor:
        """What the router reads: features (b, d) of CT alone.

        Raises:
            NoFeaturesOfCtError: the network has none.
        """


class VoxelModel(FusionModel):
    """A network that answers for every voxel, so that whole volumes are asked about window by window."""

    @abstractmethod
    def forward(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Tensor:
        """An answer (b, channels, z, y, x); input and errors as in `encode`."""

    def window_zyx(self, shape_zyx: Sequence[int], crop_zyx: Sequence[int]) -> tuple[int, ...]:  # noqa: ARG002  (for networks of slices)
        """The window by which it predicts a volume of some shape, where it trains on crops."""
        return tuple(crop_zyx)

    def mirror_axes(self) -> tuple[int, ...]:
        """The axes of 0 (z), 1 (y) and 2 (x) along which a volume's mirror image is another input to the network."""
        return (0, 1, 2)


class Segmenter(VoxelModel):
    """A network that gives every voxel a class.

    One that is an `Assessor` too names `Segmenter` first among its bases: its forward pass is then the mask's.
    """

    @abstractmethod
    def decode(self, features: Any) -> Tensor:
        """Logits (b, classes, z, y, x) of what `encode` gave."""

    def forward(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Tensor:
        """Logits (b, classes, z, y, x); input and errors as in `encode`."""
        return self.decode(self.encode(ct, pet, ehr))

    def scales(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> list[Tensor]:
        """The logits that are trained, finest first: (b, classes, z / f, y / f, x / f) each."""
        return [self(ct, pet, ehr)]


class Fuser(VoxelModel):
    """A network that makes one image of those of a case."""

    @abstractmethod
    def fuse(self, features: Any) -> Tensor:
        """The fused image (b, 1, z, y, x) in (0, 1) of what `encode` gave; of one modality its reconstruction."""

    def forward(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Tensor:
        """The fused image (b, 1, z, y, x); input and errors as in `encode`."""
        return self.fuse(self.encode(ct, pet, ehr))


class Assessor(FusionModel):
    """A network that answers for a case: class logits, or the outputs of a survival head."""

    @abstractmethod
    def answer(self, features: Any) -> Tensor:
        """Outputs (b, outputs) of what `encode` gave."""

    def assess(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Tensor:
        """Outputs (b, outputs); input and errors as in `encode`."""
        return self.answer(self.encode(ct, pet, ehr))

    def forward(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Tensor:
        """As `assess`."""
        return self.assess(ct, pet, ehr)


ROLES: Mapping[str, type] = {
    "segmentation": Segmenter,
    "classification": Assessor,
    "survival": Assessor,
    "fusion": Fuser,
}
"""Task -> class of this module that a network of the task is."""


def refuse_ehr(model: nn.Module, ehr: Tensor | None) -> None:
    """Refuse health records on behalf of a network of images.

    Raises:
        ValueError: there are some.
    """
    if ehr is not None:
        raise ValueError(f"{type(model).__name__} reads CT and PET alone, found EHR of shape {tuple(ehr.shape)}")
