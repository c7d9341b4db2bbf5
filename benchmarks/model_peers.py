"""MONAI's networks of one image, as networks of CT and PET: what the table of costs compares with."""

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets import UNETR, SwinUNETR
from torch import Tensor, nn

from fusion_models.contract import NoFeaturesOfCtError, Segmenter, refuse_ehr

CLASSES = 2


class Stacked(Segmenter):
    """A network of one image as a network of CT and PET: two channels of a volume (b, 2, z, y, x)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Tensor:
        """Both images as channels: (b, 2, z, y, x)."""
        refuse_ehr(self, ehr)
        if ct is None or pet is None:
            raise ValueError("the benchmark gives CT and PET")
        return torch.cat([ct, pet], dim=1)

    def decode(self, features: Tensor) -> Tensor:
        """Logits (b, classes, z, y, x)."""
        return self.network(features)

    def pool_features(self, ct: Tensor) -> Tensor:  # noqa: ARG002  (there are none)
        """There are none of CT alone."""
        raise NoFeaturesOfCtError(self)


def unetr(crop_zyx: Sequence[int], **sizes: Any) -> Stacked:
    """MONAI's UNETR on crops, or on slices where a crop is one."""
    if crop_zyx[0] == 1:
        return stack_slice(UNETR(2, CLASSES, tuple(crop_zyx[1:]), spatial_dims=2, **sizes))
    return Stacked(UNETR(2, CLASSES, tuple(crop_zyx), **sizes))


def swin_unetr(crop_zyx: Sequence[int], *, features: int) -> Stacked:
    """MONAI's Swin UNETR on crops, or on slices where a crop is one."""
    with torch.device("cpu"):  # it reads values while it is built, which the meta device has not
        if crop_zyx[0] == 1:
            return stack_slice(SwinUNETR(2, CLASSES, feature_size=features, spatial_dims=2))
        return Stacked(SwinUNETR(2, CLASSES, feature_size=features))


def stack_slice(network: nn.Module) -> Stacked:
    """A network of slices as one of volumes of one slice."""
    return Stacked(nn.Sequential(nn.Flatten(1, 2), network, nn.Unflatten(1, (CLASSES, 1))))
