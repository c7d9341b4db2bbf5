"""vMambaX: CT and PET slices through one VSS encoder, fused at every stage, read by one decoder (arXiv 2510.27508).

    CT_i, PET_i = LayerNorm_i(encoder(ct)_i), LayerNorm_i(encoder(pet)_i)      i = 0 finest .. stages - 1
    F_i         = base_i + interaction_i(CT'_i, PET'_i),  (CT'_i, PET'_i, base_i) = merge_i(CT_i, PET_i)
    logits      = decoder(F_0, ..)

Shapes: images (b, channels, y, x); stage i has c = width * 2^i channels on a map (y / p 2^i, x / p 2^i), p the patch.
A modality that is absent takes its terms with it: F_i = CT_i or F_i = PET_i, not gated, without interaction. CT alone
is therefore the plain CT network, whatever the fusion has learnt. The official code knows both modalities only.

That is the fusion as published, heard in full from the first step on. As an identity (`fusion_models.pathways`)

    F_i         = (1 - g_i) CT_i + g_i (base_i + interaction_i(CT'_i, PET'_i))

with gates g_i, one a channel: 0 at first, where F_i = CT_i; 1 is the published form.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from fusion_models.adapters.routing import fused_rows, rows_of
from fusion_models.gates import Gate
from fusion_models.modality import present
from fusion_models.pathways import pathway_of
from fusion_models.slices import FusedMaps, SliceNetwork
from fusion_models.ssm.mixers import MAP_MIXERS, check_mixer
from fusion_models.ssm.vss_encoder import VSSEncoder
from fusion_models.vmambax.decoder import CvssDecoder
from fusion_models.vmambax.merge import INTERACTIONS, MERGES
from fusion_models.vmambax.norms import NormFactory, group_norm

ENCODERS: Mapping[str, Mapping[str, str]] = {
    "shared": {"ct": "", "pet": ""},
    "separate": {"ct": "", "pet": "pet_"},
}
"""Choice -> modality -> prefix of the modules `encoder` and `tap_norms` that read it."""
STARTS = ("published", "identity")
"""Those of `PATHWAYS` that differ here: PET goes through CT's encoder as it is."""


class VMambaX(SliceNetwork):
    """Segmentation of slices from CT, PET or both; the paper's sizes are `fusion_models.vmambax.slices.VMAMBAX_PAPER`.

    Args:
        size_yx: size of the slices; forward also takes other legal sizes, since no tensor depends on it.
        in_channels: channels of each slice. classes: output channels.
        width: channels c of the first stage. depths: VSS blocks of each stage. state: states a channel of every scan
            but the decoder's. patch: pixels per cell of the first map, 2 or 4.
        decoder_depth: blocks of each decoder level. decoder_state: states a channel of their scans.
        drop_path: highest drop rate of the decoder; the encoder has none.
        merge: name in `MERGES`. interaction: name in `INTERACTIONS`.
        encoder: "shared", or "separate" for an encoder and tap norms of PET's own.
        mixer: name in `MAP_MIXERS`, what mixes the pixels in every block; the paper's is the scan.
        norm: normalisation of the fusion modules; the paper's is `nn.BatchNorm2d`.
        pathway: "published" or "identity". gate: how far the gates of an identity are open at first.

    Raises:
        ValueError: a name is unknown, or sizes do not fit each other.
    """

    encoder: VSSEncoder
    tap_norms: nn.ModuleList

    def __init__(
        self,
        *,
        size_yx: Sequence[int],
        in_channels: int,
        classes: int,
        width: int,
        depths: Sequence[int],
        state: int,
        patch: int,
        decoder_depth: int,
        decoder_state: int,
        drop_path: float,
        merge: str,
        interaction: str,
        encoder: str,
        mixer: str = "scan",
        norm: NormFactory = group_norm,
        pathway: str = "published",
        gate: float = 0.0,
    ) -> None:
        super().__init__()
        self.pathway = pathway_of(pathway, STARTS, gate=gate)
        check_mixer(mixer)
        mixing = MAP_MIXERS[mixer]
        _check_names(merge=merge, interaction=interaction, encoder=encoder)
        self.in_channels, self.prefixes = in_channels, ENCODERS[encoder]
        self.multiple = legal_multiple(patch=patch, stages=len(depths), interaction=interaction)
        self._check_size(size_yx)
        widths = [width * 2**stage for stage in range(len(depths))]
        for prefix in dict.fromkeys(self.prefixes.values()):
            body = VSSEncoder(in_channels, width=width, depths=tuple(depths), state=state, patch=patch, mixer=mixing)
            self.add_module(f"{prefix}encoder", body)
            self.add_module(f"{prefix}tap_norms", nn.ModuleList([nn.LayerNorm(c) for c in widths]))
        self.merges = nn.ModuleList([MERGES[merge](c, norm=norm) for c in widths])
        self.interactions = nn.ModuleList(
            [INTERACTIONS[interaction](c, state=state, norm=norm, mixer=mixing) for c in widths]
        )
        self.fusion_gates = nn.ModuleList([Gate(c, gate) for c in widths]) if self.pathway.gated else None
        self.decoder = CvssDecoder(
            widths,
            classes=classes,
            patch=patch,
            depth=decoder_depth,
            state=decoder_state,
            drop_path=drop_path,
            mixer=mixing,
        )

    def encode(self, ct: Tensor | None, pet: Tensor | None) -> FusedMaps:
        """F_i of CT and PET slices, each (b, in_channels, y, x) or absent.

        Raises:
            ValueError: both are absent, their shapes differ, or the network does not take slices of this shape.
        """
        taps = self.taps(ct, pet)
        return FusedMaps(self.fuse(taps), tuple(taps))

    def decode(self, features: FusedMaps) -> Tensor:
        """Logits (b, classes, y, x) of F_i."""
        with fused_rows(features.present):
            return self.decoder([fused.permute(0, 2, 3, 1) for fused in features.maps])

    def fuse(self, taps: Mapping[str, list[Tensor]]) -> list[Tensor]:
        """F_i (b, c, y / p 2^i, x / p 2^i), finest first, of what `taps` gives."""
        if len(taps) == 1:
            return next(iter(taps.values()))
        stages = zip(self.merges, self.interactions, taps["ct"], taps["pet"], strict=True)
        fused = [_fuse(*stage) for stage in stages]
        if self.fusion_gates is None:
            return fused
        return [gate(*pair) for gate, pair in zip(self.fusion_gates, zip(taps["ct"], fused, strict=True), strict=True)]

    def taps(self, ct: Tensor | None, pet: Tensor | None) -> dict[str, list[Tensor]]:
        """CT_i and PET_i (b, c, y / p 2^i, x / p 2^i) of the modalities present, finest first.

        Modalities that share an encoder go through it in one call, in an identity in two; input, errors as in `encode`.
        """
        images = self._check_images(ct, pet)
        found: dict[str, list[Tensor]] = {}
        for prefix, names in self._calls(images):
            with rows_of({name: len(images[name]) for name in names}, axis=0, beside=images):
                maps = self._encode(prefix, torch.cat([images[name] for name in names]))
            for part, name in enumerate(names):
                found[name] = [each.chunk(len(names))[part] for each in maps]
        return found

    def pool_features(self, ct: Tensor) -> Tensor:
        """Mean over positions of the coarsest CT_i: (b, c of the last stage)."""
        return self.taps(ct, None)["ct"][-1].mean(dim=(2, 3))

    def _calls(self, images: Iterable[str]) -> list[tuple[str, list[str]]]:
        """Calls of an encoder: its prefix, and the modalities whose images go through it at once."""
        if self.pathway.gated:
            return [(self.prefixes[name], [name]) for name in images]
        calls: dict[str, list[str]] = {}
        for name in images:
            calls.setdefault(self.prefixes[name], []).append(name)
        return list(calls.items())

    def _encode(self, prefix: str, images: Tensor) -> list[Tensor]:
        """Normalised maps (b, c, y / p 2^i, x / p 2^i), finest first."""
        maps = self.get_submodule(f"{prefix}encoder")(images)
        norms = self.get_submodule(f"{prefix}tap_norms").children()
        return [norm(each).permute(0, 3, 1, 2) for norm, each in zip(norms, maps, strict=True)]

    def _check_images(self, ct: Tensor | None, pet: Tensor | None) -> dict[str, Tensor]:
        """The images present, by modality, CT first."""
        size_yx = next((image.shape[-2:] for image in (ct, pet) if image is not None), ())
        images = present(ct, pet, (self.in_channels, *size_yx))
        batches = {name: len(image) for name, image in images.items()}
        if len(set(batches.values())) > 1:
            raise ValueError(f"CT and PET must be slices of the same cases, found batches of {batches}")
        self._check_size(size_yx)
        return images

    def _check_size(self, size_yx: Sequence[int]) -> None:
        if len(size_yx) == 2 and all(size > 0 and size % self.multiple == 0 for size in size_yx):
            return
        legal = tuple(max(1, -(-size // self.multiple)) * self.multiple for size in size_yx)
        raise ValueError(
            f"this vMambaX takes slices (y, x) whose sides are multiples of {self.multiple} (patch x 2^(stages - 1) x "
            f"window), found {tuple(size_yx)}; the next size it takes is {legal}"
        )


def legal_multiple(*, patch: int, stages: int, interaction: str) -> int:
    """What each side of a slice must be a multiple of: patch * 2^(stages - 1) * window, 128 in the paper.

    Raises:
        ValueError: the patch is neither 2 nor 4, or there are fewer than two stages.
    """
    if patch not in {2, 4}:
        raise ValueError(f"patch must be 2 or 4, found {patch}")
    if stages < 2:
        raise ValueError(f"depths must name at least two stages, found {stages}")
    return patch * 2 ** (stages - 1) * INTERACTIONS[interaction].window


def _fuse(merge: nn.Module, interaction: nn.Module, ct: Tensor, pet: Tensor) -> Tensor:
    """F_i of CT_i and PET_i, each (b, c, y, x)."""
    ct, pet, base = merge(ct, pet)
    return base + interaction(ct, pet)


def _check_names(*, merge: str, interaction: str, encoder: str) -> None:
    """Refuse a choice that no table has, listing those it has."""
    for what, name, known in (
        ("merge", merge, MERGES),
        ("interaction", interaction, INTERACTIONS),
        ("encoder", encoder, ENCODERS),
    ):
        if name not in known:
            raise ValueError(f"unknown {what} '{name}'; known: {sorted(known)}")
