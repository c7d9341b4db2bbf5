"""Networks of 2D slices in a platform of 3D volumes: slices go in as a batch, predictions are stacked back.

    (b, 1, z, y, x)  ->  (b*z, channels, y, x)  ->  network  ->  (b*z, classes, y', x')  ->  (b, classes, z, y', x')

Channels are k = `neighbours` slices before, the slice itself, k after (2.5D); beyond the ends of a volume its first and
last slice repeat, so a prediction takes whole volumes, and training only the slices of a crop that have all neighbours.
Without neighbours the slice is copied to three channels, as backbones trained on photographs expect. Intensities in
[0, 1] become scale * x + shift, the range the network was published with.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fusion_models.contract import Segmenter, refuse_ehr
from fusion_models.modality import present

COPIES = 3
PIXELS_AT_ONCE = 2**18

Pair = tuple[Tensor | None, Tensor | None]


def input_channels(neighbours: int) -> int:
    """Channels of the 2D network: 2k + 1, or three copies of the slice where k = 0."""
    return 2 * neighbours + 1 if neighbours else COPIES


class SliceNetwork(nn.Module, ABC):
    """A 2D network of CT and PET slices, each (b, channels, y, x) or None."""

    @abstractmethod
    def encode(self, ct: Tensor | None, pet: Tensor | None) -> Any:
        """Features of the slices that are there; their form is the network's own."""

    @abstractmethod
    def decode(self, features: Any) -> Tensor:
        """Logits (b, classes, y', x') of what `encode` gave."""

    @abstractmethod
    def pool_features(self, ct: Tensor) -> Tensor:
        """Features (b, d) of CT alone."""

    def decode_scales(self, features: Any) -> list[Tensor]:
        """The logits that are trained, finest first: (b, classes, y / f, x / f) each."""
        return [self.decode(features)]

    def forward(self, ct: Tensor | None, pet: Tensor | None) -> Tensor:
        """Logits (b, classes, y', x')."""
        return self.decode(self.encode(ct, pet))


class FusedMaps(NamedTuple):
    """Maps that a decoder of slices reads, finest first, and the modalities that they are made of."""

    maps: list[Tensor]
    present: tuple[str, ...]


class SliceFeatures(NamedTuple):
    """What a 2D network made of volumes of `depth` slices; its batch axis is b*z."""

    of_slices: Any
    depth: int


class SliceSegmenter(Segmenter):
    """A 2D network as a model of volumes.

    Args:
        neighbours: k. intensity: (scale, shift).
    """

    def __init__(
        self, network: SliceNetwork, *, neighbours: int = 0, intensity: tuple[float, float] = (1.0, 0.0)
    ) -> None:
        super().__init__()
        self.network = network
        self.neighbours, self.intensity = neighbours, intensity

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> SliceFeatures:
        """Features of every slice of CT and PET, each (b, 1, z, y, x) in [0, 1] or absent.

        Raises:
            ValueError: both are absent or their shapes differ, the network does not take slices of this size, or there
                is EHR.
        """
        refuse_ehr(self, ehr)
        depth = _depth(ct, pet)
        return SliceFeatures(self.network.encode(*self._slices(ct, pet, range(depth))), depth)

    def decode(self, features: SliceFeatures) -> Tensor:
        """Logits (b, classes, z, y, x)."""
        return _stack(self.network.decode(features.of_slices), features.depth)

    def forward(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Tensor:
        """Logits (b, classes, z, y, x); input and errors as in `encode`.

        Without gradients the slices go through the network in portions, so that a whole volume may come at once.
        """
        if torch.is_grad_enabled():
            return self.decode(self.encode(ct, pet, ehr))
        refuse_ehr(self, ehr)
        depth = _depth(ct, pet)
        portions = _portions(*self._slices(ct, pet, range(depth)))
        return _stack(torch.cat([self.network(*portion) for portion in portions]), depth)

    def scales(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> list[Tensor]:
        """What is trained: logits of the slices whose neighbours lie in the crop, (b, classes, z - 2k, ..)."""
        refuse_ehr(self, ehr)
        inner = range(self.neighbours, _depth(ct, pet) - self.neighbours)
        features = self.network.encode(*self._slices(ct, pet, inner))
        return [_stack(logits, len(inner)) for logits in self.network.decode_scales(features)]

    def window_zyx(self, shape_zyx: Sequence[int], crop_zyx: Sequence[int]) -> tuple[int, ...]:
        """All slices of the crop's size at once, so that the neighbours of a slice are the volume's own."""
        return (shape_zyx[0], *crop_zyx[1:])

    def mirror_axes(self) -> tuple[int, ...]:
        """Those within a slice; along z too where a slice has neighbours, whose order turns."""
        return (0, 1, 2) if self.neighbours else (1, 2)

    def pool_features(self, ct: Tensor) -> Tensor:
        """Mean over slices of the network's pooled features of CT alone: (b, d)."""
        return (
            self.network.pool_features(self._slices_of(ct, range(ct.shape[2]))).unflatten(0, (-1, ct.shape[2])).mean(1)
        )

    def _slices(self, ct: Tensor | None, pet: Tensor | None, which: Sequence[int]) -> Pair:
        ct, pet = (None if volume is None else self._slices_of(volume, which) for volume in (ct, pet))
        return ct, pet

    def _slices_of(self, volume: Tensor, which: Sequence[int]) -> Tensor:
        scale, shift = self.intensity
        return slices_of(volume * scale + shift, self.neighbours, which)


def slices_of(volume: Tensor, neighbours: int, which: Sequence[int]) -> Tensor:
    """The slices `which` with their channels: (b, 1, z, y, x) -> (b * len(which), channels, y, x)."""
    planes = volume[:, 0]
    chosen = torch.tensor(list(which), device=volume.device)
    if not neighbours:
        return planes[:, chosen].flatten(0, 1)[:, None].expand(-1, COPIES, -1, -1)
    offsets = torch.arange(-neighbours, neighbours + 1, device=volume.device)
    return planes[:, (chosen[:, None] + offsets).clamp(0, planes.shape[1] - 1)].flatten(0, 1)


def slice_input(crop_zyx: Sequence[int], neighbours: int) -> dict[str, Any]:
    """What a 2D network is built with for these crops: `size_yx` and `in_channels`.

    Raises:
        ValueError: the crop is not three numbers, or too thin for the neighbours.
    """
    if len(crop_zyx) != 3:
        raise ValueError(f"crop_zyx must be three numbers (z, y, x), found {tuple(crop_zyx)}")
    check_depth(crop_zyx, neighbours)
    return {"size_yx": tuple(crop_zyx[1:]), "in_channels": input_channels(neighbours)}


def check_depth(crop_zyx: Sequence[int], neighbours: int) -> None:
    """Refuse a crop in which no slice would have the neighbours that the network is to see."""
    if neighbours < 0:
        raise ValueError(f"neighbours must be at least 0, found {neighbours}")
    if neighbours and crop_zyx[0] < input_channels(neighbours):
        raise ValueError(
            f"{neighbours} neighbouring slice(s) on each side need a crop of at least {input_channels(neighbours)} "
            f"slices, found crop_zyx {tuple(crop_zyx)}; enlarge its first number"
        )


def _depth(ct: Tensor | None, pet: Tensor | None) -> int:
    """Number of slices of the present volumes."""
    first = pet if ct is None else ct
    images = present(ct, pet, () if first is None else (1, *first.shape[2:]))
    if any(image.ndim != 5 for image in images.values()):
        raise ValueError(f"images must be volumes (b, 1, z, y, x), found {[tuple(i.shape) for i in images.values()]}")
    return next(iter(images.values())).shape[2]


def _portions(ct: Tensor | None, pet: Tensor | None) -> Iterator[Pair]:
    """Slices in portions of at most PIXELS_AT_ONCE, one at least."""
    first = pet if ct is None else ct
    if first is not None:
        count = max(1, PIXELS_AT_ONCE // math.prod(first.shape[2:]))
        for start in range(0, len(first), count):
            part = slice(start, start + count)
            yield None if ct is None else ct[part], None if pet is None else pet[part]


def _stack(logits: Tensor, depth: int) -> Tensor:
    """(b*z, classes, y, x) -> (b, classes, z, y, x)."""
    return logits.unflatten(0, (-1, depth)).transpose(1, 2)
