"""ClinicalFMamba as a model of volumes: CT first, PET second, in 3D as they are, in 2D slice by slice.

    2D  (b, 1, z, y, x)  ->  (b*z, 1, y, x)  ->  network  ->  (b*z, 1, y, x)  ->  (b, 1, z, y, x)

CT alone is reconstructed; PET alone is refused, because the CT network is the one that is there before PET is.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fusion_models.clinicalfmamba.input_checks import check_pair, check_size
from fusion_models.clinicalfmamba.network import ClinicalFMamba, Fused
from fusion_models.contract import Fuser, refuse_ehr
from fusion_models.slices import PIXELS_AT_ONCE


class FusedVolume(NamedTuple):
    """What the network made of volumes of `depth` slices; in 2D its batch axis is b*z."""

    fused: Fused
    depth: int


class VolumeFuser(Fuser):
    """The 3D network.

    Args:
        network: of three axes.
    """

    def __init__(self, network: ClinicalFMamba) -> None:
        super().__init__()
        self.network = network

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> FusedVolume:
        """What the decoder reads of CT and PET, or of CT alone, each (b, 1, z, y, x) in [0, 1].

        Raises:
            ValueError: CT is absent, the grids differ, the network does not take this size, or there is EHR.
        """
        first, second = self._checked(ct, pet, ehr)
        return FusedVolume(self.network.encode(*self._images(first, second)), first.shape[2])

    def fuse(self, features: FusedVolume) -> Tensor:
        """The fused volume (b, 1, z, y, x)."""
        return self.network.decode(features.fused)

    def pool_features(self, ct: Tensor) -> Tensor:
        """The encoder's maps of CT alone, their mean over all voxels: (b, 4 width)."""
        return self._pool(self.network.encoder(self._images(ct, None)[0])[1], ct.shape[2])

    def _checked(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None) -> tuple[Tensor, Tensor | None]:
        refuse_ehr(self, ehr)
        if ct is None:
            found = "neither" if pet is None else f"PET of shape {tuple(pet.shape)} alone"
            raise ValueError(f"{type(self).__name__} needs CT, alone or with PET; found {found}")
        check_pair(ct, ct if pet is None else pet, axes=3, multiple=1)
        return ct, pet

    def _images(self, ct: Tensor, pet: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What the network is given."""
        return ct, pet

    def _pool(self, maps: Tensor, depth: int) -> Tensor:  # noqa: ARG002  (for slices)
        """Mean of maps (n, *size, c) over a case's voxels."""
        return maps.flatten(1, -2).mean(1)


class SliceFuser(VolumeFuser):
    """The 2D network, slice by slice; a slice sees no other.

    Args:
        network: of two axes.
    """

    def fuse(self, features: FusedVolume) -> Tensor:
        """The fused volume (b, 1, z, y, x)."""
        return _stack(self.network.decode(features.fused), features.depth)

    def forward(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Tensor:
        """The fused volume; without gradients in portions of slices, so that a whole volume may come at once."""
        if torch.is_grad_enabled():
            return super().forward(ct, pet, ehr)
        given, pet = self._checked(ct, pet, ehr)
        first, second = self._images(given, pet)
        count = max(1, PIXELS_AT_ONCE // math.prod(first.shape[2:]))
        portions = zip(first.split(count), _split(second, count, len(first)), strict=True)
        return _stack(torch.cat([self.network(*portion) for portion in portions]), given.shape[2])

    def window_zyx(self, shape_zyx: Sequence[int], crop_zyx: Sequence[int]) -> tuple[int, ...]:
        """All slices of the crop's size at once."""
        return (shape_zyx[0], *crop_zyx[1:])

    def mirror_axes(self) -> tuple[int, ...]:
        """Those of the slice: the order of slices means nothing to it."""
        return (1, 2)

    def _images(self, ct: Tensor, pet: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return _slices(ct), None if pet is None else _slices(pet)

    def _pool(self, maps: Tensor, depth: int) -> Tensor:
        return super()._pool(maps, depth).unflatten(0, (-1, depth)).mean(1)


def build_slices(*, crop_zyx: Sequence[int], **sizes: Any) -> SliceFuser:
    """`ClinicalFMamba` of 2 axes for the slices of crops.

    Args:
        crop_zyx: size of the crops; y and x multiples of 2^halvings. sizes: options of `ClinicalFMamba`.

    Raises:
        ValueError: the crop is not three numbers, or of a size that the latent cannot take.
    """
    network = ClinicalFMamba(axes=2, **sizes)
    check_size(_three(crop_zyx)[1:], network.multiple)
    return SliceFuser(network)


def build_volumes(*, crop_zyx: Sequence[int], **sizes: Any) -> VolumeFuser:
    """`ClinicalFMamba` of 3 axes for crops; arguments and errors as in `build_slices`, and z as y and x."""
    network = ClinicalFMamba(axes=3, **sizes)
    check_size(_three(crop_zyx), network.multiple)
    return VolumeFuser(network)


def _three(crop_zyx: Sequence[int]) -> Sequence[int]:
    if len(crop_zyx) != 3:
        raise ValueError(f"crop_zyx must be three numbers (z, y, x), found {tuple(crop_zyx)}")
    return crop_zyx


def _slices(volume: Tensor) -> Tensor:
    """(b, 1, z, y, x) -> (b*z, 1, y, x)."""
    return volume.transpose(1, 2).flatten(0, 1)


def _stack(slices: Tensor, depth: int) -> Tensor:
    """(b*z, 1, y, x) -> (b, 1, z, y, x)."""
    return slices.unflatten(0, (-1, depth)).transpose(1, 2)


def _split(slices: Tensor | None, count: int, total: int) -> Sequence[Tensor | None]:
    return [None] * -(-total // count) if slices is None else slices.split(count)
