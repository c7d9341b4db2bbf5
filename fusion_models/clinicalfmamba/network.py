"""ClinicalFMamba: two registered images in [0, 1] fused into one in (0, 1), in 2D and 3D (arXiv 2508.03008).

    e_k, f_k = encoder(x_k)                                   one encoder for both modalities
    t_k      = latent_k(f_k)                                  Mamba blocks, own weights a modality
    t_1, t_2 = exchange(t_1, t_2)                             2D code only
    z        = join((FM_1(t_1 | t_2) + FM_2(t_2 | t_1)) / 2)
    fused    = sigmoid(Conv3(decoder(z) + CMCA(e_1 -> e_2) + CMCA(e_2 -> e_1)))

One image alone is reconstructed, which is how the CT network is trained before there is a second:

    z = join(t_1),   fused = sigmoid(Conv3(decoder(z)))       neither the second's blocks nor what fuses both is called

Which image is first is a choice that has to stay: MRI before CT or the Y of SPECT, T2 before FLAIR, CT before PET.
Shapes: images (b, 1, *size), any box whose sides are multiples of 2^halvings; nothing depends on the size.

Differs from the release: no output is flipped twice, no scan and no convolution is held unused, and each image is
normalised by itself, so that no running statistics travel between centers; `norm=nn.BatchNorm2d` is the paper's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fusion_models.clinicalfmamba.channel_exchange import ChannelExchange
from fusion_models.clinicalfmamba.cmca import ChannelAttention
from fusion_models.clinicalfmamba.decoder import DECODERS
from fusion_models.clinicalfmamba.dgcb import CONVOLUTIONS
from fusion_models.clinicalfmamba.encoder import FusionEncoder
from fusion_models.clinicalfmamba.fusion_mamba import FusionMamba
from fusion_models.clinicalfmamba.input_checks import check_pair
from fusion_models.clinicalfmamba.unused_weights import UnusedWeights
from fusion_models.options import Sizes
from fusion_models.ssm.mamba import Mamba, MambaBlock
from fusion_models.ssm.scan_orders import (
    AXIAL,
    FOUR_DIRECTIONS,
    ROWS,
    SIX_DIRECTIONS,
    TRI_PLANE,
    ScanOrder,
    both_ways,
)
from fusion_models.vmambax.norms import NormFactory, group_norm


@dataclass(frozen=True)
class Scans:
    """Orders of the scans of a network.

    Attributes:
        latent: of each modality's own blocks. fusion: of the Fusion Mambas.
    """

    latent: Sequence[ScanOrder]
    fusion: Sequence[ScanOrder]


SCANS: Mapping[int, Mapping[str, Scans]] = {
    2: {"published": Scans(FOUR_DIRECTIONS, FOUR_DIRECTIONS), "one": Scans((ROWS,), (ROWS,))},
    3: {
        "published": Scans(TRI_PLANE, SIX_DIRECTIONS),
        "released": Scans(TRI_PLANE, (*SIX_DIRECTIONS, *both_ways(ScanOrder((1, 0, 2))))),
        "one": Scans((AXIAL,), (AXIAL,)),
    },
}
"""Axes -> choice; "one" is causal, and the ablation of directions. The release has a fourth plane (y, z, x)."""

CLINICALFMAMBA_2D_PAPER: Sizes = {
    "width": 32,
    "latent_blocks": 5,
    "state": 8,
    "halvings": 3,
    "channel_mix": 2,
    "decoder_blocks": 3,
    "scans": "published",
    "cmca_kernel": 1,
}
CLINICALFMAMBA_2D_SMALL: Sizes = {**CLINICALFMAMBA_2D_PAPER, "width": 16, "latent_blocks": 2, "decoder_blocks": 1}
CLINICALFMAMBA_2D_TINY: Sizes = {**CLINICALFMAMBA_2D_SMALL, "width": 4, "latent_blocks": 1, "state": 2}
CLINICALFMAMBA_3D_PAPER: Sizes = {**CLINICALFMAMBA_2D_PAPER, "channel_mix": 0, "decoder_blocks": 0}
CLINICALFMAMBA_3D_SMALL: Sizes = {**CLINICALFMAMBA_3D_PAPER, "width": 16, "latent_blocks": 2}
CLINICALFMAMBA_3D_TINY: Sizes = {**CLINICALFMAMBA_3D_SMALL, "width": 4, "latent_blocks": 1, "state": 2}


class Fused(NamedTuple):
    """What a decoder reads: z (b, *latent size, 4w), and e_1 and e_2 (b, w, *size), none of one image alone."""

    z: Tensor
    details: tuple[Tensor, ...]


class ClinicalFMamba(nn.Module):
    """Fusion of two images.

    Args:
        axes: 2 or 3, of the images.
        width: channels of the first maps; the latent ones have four times as many. latent_blocks: of each modality.
        state: states a channel of the scans; twice as many in the exchange. halvings: 2 or 3, of each side.
        channel_mix: rounds of channel exchange, 0 for none. decoder_blocks: plain Mambas of the 2D decoder.
        scans: name in `SCANS`. cmca_kernel: side of CMCA's convolutions, 0 to leave CMCA out.
        cmca_residual: CMCA as the paper's figure has it, with kernel 3.
        norm: of the convolutional blocks. legacy_dead_weights: hold the release's unused weights, for counting.

    Raises:
        ValueError: an unknown name, or sizes that do not fit each other.
    """

    def __init__(
        self,
        *,
        axes: int,
        width: int,
        latent_blocks: int,
        state: int,
        halvings: int,
        channel_mix: int,
        decoder_blocks: int,
        scans: str = "published",
        cmca_kernel: int = 1,
        cmca_residual: bool = False,
        norm: NormFactory = group_norm,
        legacy_dead_weights: bool = False,
    ) -> None:
        super().__init__()
        self.axes, self.multiple = axes, 2**halvings
        orders, latent = scans_of(axes, scans), 4 * width
        self.encoder = FusionEncoder(width, axes=axes, halvings=halvings, norm=norm)
        self.first_latent, self.second_latent = (
            nn.Sequential(*[MambaBlock(Mamba(latent, orders=orders.latent, state=state)) for _ in range(latent_blocks)])
            for _ in range(2)
        )
        self.exchange = ChannelExchange(latent, axes=axes, state=2 * state, rounds=channel_mix) if channel_mix else None
        self.first_fusion, self.second_fusion = (
            FusionMamba(latent, orders=orders.fusion, state=state) for _ in range(2)
        )
        self.join = nn.Linear(latent, latent)
        self.decoder = DECODERS[axes](width, halvings=halvings, blocks=decoder_blocks, state=state, norm=norm)
        self.cmca = (
            ChannelAttention(width, axes=axes, kernel=cmca_kernel, residual=cmca_residual) if cmca_kernel else None
        )
        self.conv_out = CONVOLUTIONS[axes](width, 1, 3, padding=1)
        self.unused = UnusedWeights(axes) if legacy_dead_weights else None

    def forward(self, first: Tensor, second: Tensor | None = None) -> Tensor:
        """The fused image (b, 1, *size) of two (b, 1, *size), or of one its reconstruction; errors as in `encode`."""
        return self.decode(self.encode(first, second))

    def encode(self, first: Tensor, second: Tensor | None = None) -> Fused:
        """What the decoder reads of two images (b, 1, *size), or of the first alone.

        Raises:
            ValueError: shapes that differ, other channels than one, or sides that cannot be halved so often.
        """
        check_pair(first, first if second is None else second, axes=self.axes, multiple=self.multiple)
        first_detail, first_maps = self.encoder(first)
        if second is None:
            return Fused(self.join(self.first_latent(first_maps)), ())
        second_detail, second_maps = self.encoder(second)
        return Fused(self.fuse(first_maps, second_maps), (first_detail, second_detail))

    def decode(self, fused: Fused) -> Tensor:
        """The image (b, 1, *size) in (0, 1) of what `encode` gave."""
        x = self.decoder(fused.z)
        if self.cmca is not None and fused.details:
            x = self.cmca(x, *fused.details)
        return torch.sigmoid(self.conv_out(x))

    def fuse(self, first: Tensor, second: Tensor) -> Tensor:
        """z of what the encoder gave of both images, maps (b, *latent size, 4w)."""
        first, second = self.first_latent(first), self.second_latent(second)
        if self.exchange is not None:
            first, second = self.exchange(first, second)
        both: Tensor = self.first_fusion(first, second) + self.second_fusion(second, first)
        return self.join(both / 2)


def scans_of(axes: int, name: str) -> Scans:
    """A row of `SCANS`.

    Raises:
        ValueError: there is none of this name.
    """
    if axes not in SCANS or name not in SCANS[axes]:
        known = {n: sorted(rows) for n, rows in SCANS.items()}
        raise ValueError(f"unknown scans '{name}' of {axes} axes; known: {known}")
    return SCANS[axes][name]
