"""LoG-VMamba on CT and PET slices: two stems, one encoder, one decoder (arXiv 2408.14415; pathways as 2404.13704).

    f_i^C, f_i^P   maps of the shared encoder stages, CT through `encoder.patch_embed`, PET through its own `pet_stem`
    t_i = f_i^C + beta * pet_merge_i(f_i^P)      i = 0..3; pet_merge_i: one linear layer, width kept
    logits = decoder(t_0, ..., t_3)

A missing modality drops its term; it is never replaced by zeros. The CT network keeps the names of `SwinUMamba` and,
alone, its output bit for bit. pet_merge_i starts as the identity: PET's maps first reach the decoder as CT's would.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusion_models.log_vmamba.swin_umamba import SwinUMamba, check_images, start_convolution
from fusion_models.slices import DeepSliceSegmenter, check_depth, input_channels
from fusion_models.ssm.vss_encoder import PatchEmbed

# The host's recipe gives each image zero mean and unit variance. One map for all images does so for intensities spread
# evenly over [0, 1] and, unlike a map for each image, keeps what a Hounsfield unit or an SUV means.
INTENSITY = (math.sqrt(12), -math.sqrt(3))


class LogVMamba2d(nn.Module):
    """A CT network with a PET pathway (`pet_stem`, `pet_merge`) beside it.

    Without the tensors of the pathway the state is that of `ct_network`, key by key.

    Args:
        ct_network: gives `encoder` and `decoder`, which stay its own.
        beta: weight of PET's maps.
    """

    def __init__(self, ct_network: SwinUMamba, *, beta: float = 1.0) -> None:
        super().__init__()
        self.shape, self.beta = ct_network.shape, beta
        self.encoder, self.decoder = ct_network.encoder, ct_network.decoder
        self.pet_stem = PatchEmbed(self.shape[0], self.encoder.widths[0], patch=self.encoder.patch_embed.patch)
        self.pet_stem.apply(start_convolution)
        self.pet_merge = nn.ModuleList(identity_linear(width) for width in self.encoder.widths)

    def forward(self, ct: Tensor | None, pet: Tensor | None) -> Tensor:
        """Logits (b, classes, y, x) from CT and PET slices, each (b, in_channels, y, x) or absent.

        Raises:
            ValueError: both are absent, or a shape is not the network's.
        """
        return self.decoder(self.taps(ct, pet))

    def scales(self, ct: Tensor | None, pet: Tensor | None) -> list[Tensor]:
        """Logits (b, classes, y / f, x / f) of each decoder output, finest first; input as in `forward`."""
        return self.decoder.scales(self.taps(ct, pet))

    def pooled_features(self, ct: Tensor) -> Tensor:
        """Mean of CT's coarsest map over its positions: (b, d)."""
        return self.taps(ct, None)[-1].mean(dim=(1, 2))

    def taps(self, ct: Tensor | None, pet: Tensor | None) -> list[Tensor]:
        """t_0..t_3 of the present modalities (b, y, x, c), finest first; both share one pass through the stages."""
        for name, images in (("ct", ct), ("pet", pet)):
            if images is not None:
                check_images(name, images, self.shape)
        if ct is not None and pet is not None:
            both = self.encoder.taps(torch.cat([self.encoder.patch_embed(ct), self.pet_stem(pet)]))
            of_ct, of_pet = zip(*(tap.chunk(2) for tap in both), strict=True)
            return [tap + extra for tap, extra in zip(of_ct, self._weighted(of_pet), strict=True)]
        if ct is not None:
            return self.encoder(ct)
        if pet is not None:
            return self._weighted(self.encoder.taps(self.pet_stem(pet)))
        raise ValueError("a case needs CT, PET or both; found neither")

    def _weighted(self, taps: Sequence[Tensor]) -> list[Tensor]:
        """beta * pet_merge_i(f_i^P)."""
        return [self.beta * merge(tap) for merge, tap in zip(self.pet_merge, taps, strict=True)]


def identity_linear(width: int) -> nn.Linear:
    """A linear layer that starts as the identity."""
    linear = nn.Linear(width, width)
    nn.init.eye_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def build_log_vmamba_2d(
    *, crop_zyx: Sequence[int], classes: int = 2, neighbours: int = 0, beta: float = 1.0, **sizes: object
) -> DeepSliceSegmenter:
    """The platform's builder: volumes in, volumes out; `sizes` are options of `SwinUMamba`.

    Args:
        crop_zyx: input size in voxels; its y and x are the slices' size.
        neighbours: slices before and after each slice that the network sees beside it.

    Raises:
        ValueError: sizes that do not fit each other.
    """
    if len(crop_zyx) != 3:
        raise ValueError(f"crop_zyx must have three sizes, found {tuple(crop_zyx)}")
    check_depth(crop_zyx, neighbours)
    ct_network = SwinUMamba(
        in_channels=input_channels(neighbours),
        classes=classes,
        size_yx=tuple(crop_zyx[1:]),
        **sizes,  # type: ignore[arg-type]
    )
    return DeepSliceSegmenter(LogVMamba2d(ct_network, beta=beta), neighbours=neighbours, intensity=INTENSITY)
