"""PEMMA-UNETR: a CT-pretrained UNETR that learns PET through tokens and a skip (arXiv 2404.13704, section 2).

Symbols, with the shapes beside them (b batch, n tokens a modality, d width, f convolution width):

    T_C, T_P   (b, n, d)    patch embeddings of CT and PET, each with its own kernel and positions
    T          (b, 2n, d)   [T_C ; T_P] along the token axis, CT first; all blocks attend over all tokens
    H_l        (b, n, d)    output of block l, first n rows only: the decoder reads CT's tokens
    z          (b, f, z y x)  z_C + beta * z_P, the full-resolution skip

A missing modality drops its tokens and its skip; it is never replaced by zeros. Without CT the n PET tokens
take the decoder's place. CT-only output therefore equals the CT network's bit for bit.

That is the pathway as published, `pathway = "published"`, which changes the answer to CT+PET from the first step on.
The default, an identity (`fusion_models.pathways`), does not; with all gates and gains s at 1 it is that form again:

    T_P        E_C(pet) + offset                embedding, positions and skip of PET are CT's plus an offset
    H_l        blocks of `joint_attention`      T_C and T_P attend to themselves, and to each other through gates
    z          z_C + s beta z_P                 s (f), zero at first

Parameter names of the CT network are those of `monai.networks.nets.UNETR`, so that its checkpoints load as they are;
patch size, depth and width are free here, because a small network needs finer patches than 16.
Not done: a modality-type embedding and an attention mask, which the paper does not have either.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import pairwise, repeat
from typing import NamedTuple

import torch
from monai.networks.blocks.dynunet_block import UnetOutBlock
from monai.networks.blocks.patchembedding import PatchEmbeddingBlock
from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock
from monai.networks.nets.vit import ViT
from torch import Tensor, nn

from fusion_models.adapters.routing import fused_rows, rows_of
from fusion_models.contract import Segmenter, refuse_ehr
from fusion_models.gates import Gain, Gate
from fusion_models.modality import present
from fusion_models.options import Sizes
from fusion_models.pathways import pathway_of
from fusion_models.pemma.joint_attention import advance

UNETR_PAPER: Sizes = {
    "patch": 16,
    "width": 768,
    "depth": 12,
    "heads": 12,
    "mlp": 3072,
    "features": 48,
    "supervised_scales": 1,
}
UNETR_SMALL: Sizes = {**UNETR_PAPER, "patch": 8, "width": 96, "depth": 6, "heads": 6, "mlp": 192, "features": 8}
UNETR_TINY: Sizes = {**UNETR_PAPER, "patch": 4, "width": 24, "depth": 4, "heads": 2, "mlp": 48, "features": 4}
PET_OPTIONS: Sizes = {"beta": 1.0, "pathway": "identity", "gate": 0.0, "gain": 0.0}
PEMMA_PAPER: Sizes = {**UNETR_PAPER, **PET_OPTIONS}
PEMMA_SMALL: Sizes = {**UNETR_SMALL, **PET_OPTIONS}
PEMMA_TINY: Sizes = {**UNETR_TINY, **PET_OPTIONS}


class UnetrFeatures(NamedTuple):
    """What the decoder reads: hidden states (b, n, d), finest tap first, skip (b, f, z, y, x), and whose they are."""

    hidden: list[Tensor]
    skip: Tensor
    present: tuple[str, ...]


class PemmaUnetr(Segmenter):
    """UNETR with a PET pathway (`pet_embedding`, `pet_skip`; `attention_gates`, `skip_gain`) beside the CT network.

    Args:
        crop_zyx: input size in voxels, a multiple of `patch` on each axis.
        patch: patch edge in voxels, a power of two; log2(patch) levels of upsampling follow.
        width: token width d. depth: transformer blocks. heads: attention heads. mlp: hidden width of each MLP.
        features: convolution width f at full resolution.
        classes: output channels, background included.
        supervised_scales: outputs that are trained, finest first, each coarser one by a head of its own.
        beta: weight of the PET skip.
        pathway: name in `PATHWAYS`. gate, gain: how far its attention gates and the gain of its skip are open at first.

    Raises:
        ValueError: sizes do not fit each other, or no pathway has this name.
    """

    def __init__(
        self,
        *,
        crop_zyx: Sequence[int],
        patch: int,
        width: int,
        depth: int,
        heads: int,
        mlp: int,
        features: int,
        classes: int = 2,
        supervised_scales: int = 1,
        beta: float = 1.0,
        pathway: str = "identity",
        gate: float = 0.0,
        gain: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(crop_zyx, patch=patch, width=width, heads=heads)
        self.crop_zyx, self.beta = tuple(crop_zyx), beta
        self.pathway = pathway_of(pathway, gate=gate, gain=gain)
        self.grid_zyx = tuple(size // patch for size in crop_zyx)
        self.taps = hidden_taps(depth, levels_of(patch))
        self.vit = ViT(1, self.crop_zyx, (patch,) * 3, width, mlp, depth, heads)
        self.encoder1 = skip_block(1, features)
        add_convolution_stack(self, width=width, features=features, classes=classes, levels=levels_of(patch))
        self.pet_embedding = PatchEmbeddingBlock(1, self.crop_zyx, (patch,) * 3, width, heads)
        self.pet_skip = skip_block(1, features)
        self.pathway.draw(self.pet_embedding)
        self.pathway.draw(self.pet_skip)
        if self.pathway.gated:
            self.attention_gates = nn.ModuleList(Gate(heads, gate) for _ in range(depth))
            self.skip_gain = Gain(features, gain)
        add_scale_heads(self, supervised_scales, features=features, classes=classes, levels=levels_of(patch))

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> UnetrFeatures:
        """Hidden states and skip of CT and PET, each (b, 1, z, y, x) or absent.

        Raises:
            ValueError: both are absent, a size is not the network's crop, or there is EHR.
        """
        refuse_ehr(self, ehr)
        images = present(ct, pet, (1, *self.crop_zyx))
        return UnetrFeatures(self.hidden_states(ct, pet), self.skip(ct, pet), tuple(images))

    def decode(self, features: UnetrFeatures) -> Tensor:
        """Logits (b, classes, z, y, x)."""
        return decode(self, features, self.grid_zyx)

    def scales(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> list[Tensor]:
        """Logits (b, classes, z / f, y / f, x / f) of the supervised scales, f = 1, 2, .."""
        return decode_scales(self, self.encode(ct, pet, ehr), self.grid_zyx)

    def pool_features(self, ct: Tensor) -> Tensor:
        """Mean over tokens of the last hidden state of CT alone: (b, d)."""
        return self.hidden_states(ct, None)[-1].mean(1)

    def tokens(self, ct: Tensor | None, pet: Tensor | None) -> dict[str, Tensor]:
        """Patch tokens (b, n, d) of the present images, CT first."""
        return self._read(ct, pet, self.vit.patch_embedding, self.pet_embedding)

    def hidden_states(self, ct: Tensor | None, pet: Tensor | None) -> list[Tensor]:
        """The decoder's inputs, finest tap first, last the normalised output: each (b, n, d), the first n rows."""
        n: int = self.vit.patch_embedding.n_patches
        return self.states(self.tokens(ct, pet), slice(0, n))[0]

    def states(self, tokens: Mapping[str, Tensor], rows: slice = slice(None)) -> tuple[list[Tensor], list[Tensor]]:
        """The first stream behind each tapped block, finest first, and normalised at the end; and all streams there.

        Args:
            tokens: by modality, in the order of the sequence. rows: of the first stream, those that are handed out.

        Rows are cut where a state is made: cut later, gradients would be summed in another order.
        """
        led = self._led(tokens)
        streams, found = [torch.cat([tokens[name] for name in names], dim=1) for names in led], []
        said = [
            partial(rows_of, {name: tokens[name].shape[1] for name in names}, axis=1, beside=tokens) for names in led
        ]
        gates = self.attention_gates.children() if self.pathway.gated else repeat(None, len(self.vit.blocks))
        for index, (block, gate) in enumerate(zip(self.vit.blocks.children(), gates, strict=True)):
            streams = advance(block, streams, gate, said)
            if index in self.taps:
                found.append(streams[0][:, rows])
        last = [self.vit.norm(stream) for stream in streams]
        return [*found, last[0][:, rows]], last

    def skip(self, ct: Tensor | None, pet: Tensor | None) -> Tensor:
        """z of the present modalities: (b, f, z, y, x)."""
        found = self._read(ct, pet, self.encoder1, self.pet_skip)
        if "pet" not in found:
            return found["ct"]
        z_pet = self.beta * found["pet"]
        if "ct" not in found:
            return z_pet
        return found["ct"] + (self.skip_gain(z_pet) if self.pathway.gated else z_pet)

    def _read(self, ct: Tensor | None, pet: Tensor | None, base: nn.Module, own: nn.Module) -> dict[str, Tensor]:
        """What CT's module `base` gives of CT, and PET's module `own`, as the pathway calls it, of PET."""
        reads: dict[str, Callable[[Tensor], Tensor]] = {"ct": base, "pet": partial(self.pathway.call, base, own)}
        images = {name: image for name, image in (("ct", ct), ("pet", pet)) if image is not None}
        found: dict[str, Tensor] = {}
        for name, image in images.items():
            with rows_of({name: len(image)}, axis=0, beside=images):
                found[name] = reads[name](image)
        return found

    def _led(self, names: Collection[str]) -> list[list[str]]:
        """Whose tokens run through the blocks together: all in one sequence, or PET's apart from what CT leads."""
        if not self.pathway.gated or not {"ct", "pet"} <= set(names):
            return [list(names)]
        return [[name for name in names if name != "pet"], ["pet"]]


def levels_of(patch: int) -> int:
    """Number of factor-two upsamplings from the token grid to full resolution."""
    return patch.bit_length() - 1


def hidden_taps(depth: int, levels: int) -> tuple[int, ...]:
    """0-based blocks whose outputs feed the encoders: 3, 6, 9 for the paper's 12 blocks and patch 16."""
    return tuple(depth * level // levels for level in range(1, levels))


def skip_block(channels: int, features: int) -> UnetrBasicBlock:
    """Full-resolution residual block of a skip: (b, channels, z, y, x) -> (b, features, z, y, x)."""
    return UnetrBasicBlock(3, channels, features, kernel_size=3, stride=1, norm_name="instance", res_block=True)


def add_convolution_stack(net: nn.Module, *, width: int, features: int, classes: int, levels: int) -> None:
    """Add encoder2.., decoder.. and out with MONAI's names; level k works at 1/2^(k-1) of full resolution."""
    for k in range(2, levels + 1):
        block = UnetrPrUpBlock(
            3, width, features * 2 ** (k - 1), levels - k, 3, 1, 2, "instance", conv_block=True, res_block=True
        )
        net.add_module(f"encoder{k}", block)
    channels = [width, *(features * 2 ** (k - 1) for k in range(levels, 0, -1))]
    for k, (inputs, outputs) in zip(range(levels + 1, 1, -1), pairwise(channels), strict=True):
        net.add_module(f"decoder{k}", UnetrUpBlock(3, inputs, outputs, 3, 2, "instance", res_block=True))
    net.add_module("out", UnetOutBlock(3, features, classes))


def add_scale_heads(net: nn.Module, scales: int, *, features: int, classes: int, levels: int) -> None:
    """Add out2.., a 1x1x1 convolution on the decoder's map at 1/2^(k-1) of full resolution, for all scales but one.

    Raises:
        ValueError: the decoder has no more than `levels` maps.
    """
    if not 1 <= scales <= levels:
        raise ValueError(f"supervised_scales must be 1 to {levels}, the decoder's maps, found {scales}")
    for k in range(2, scales + 1):
        net.add_module(f"out{k}", UnetOutBlock(3, features * 2 ** (k - 1), classes))


def decode(net: nn.Module, features: UnetrFeatures, grid_zyx: Sequence[int]) -> Tensor:
    """UNETR's decoder: features -> logits (b, classes, z, y, x)."""
    with fused_rows(features.present):
        return net.get_submodule("out")(decoder_maps(net, features, grid_zyx)[0])


def decode_scales(net: nn.Module, features: UnetrFeatures, grid_zyx: Sequence[int]) -> list[Tensor]:
    """Logits (b, classes, z / f, y / f, x / f) of each scale that has a head, finest first."""
    with fused_rows(features.present):
        finest, *coarser = decoder_maps(net, features, grid_zyx)
        heads = [(name, each) for k, each in enumerate(coarser, start=2) if hasattr(net, name := f"out{k}")]
        return [net.get_submodule("out")(finest), *(net.get_submodule(name)(each) for name, each in heads)]


def decoder_maps(net: nn.Module, features: UnetrFeatures, grid_zyx: Sequence[int]) -> list[Tensor]:
    """The decoder's maps (b, f 2^(k-1), z / 2^(k-1), ..), k = 1 at full resolution first."""
    maps = [state.transpose(1, 2).unflatten(2, tuple(grid_zyx)).contiguous() for state in features.hidden]
    found = [maps[-1]]
    for k in range(len(maps) + 1, 2, -1):
        x = net.get_submodule(f"encoder{k - 1}")(maps[k - 3])
        found.append(net.get_submodule(f"decoder{k}")(found[-1], x))
    return [net.get_submodule("decoder2")(found[-1], features.skip), *reversed(found[1:])]


def check_sizes(crop_zyx: Sequence[int], *, patch: int, width: int, heads: int) -> None:
    """Refuse sizes that cannot be built, naming what was found and what fits."""
    if patch < 4 or patch & (patch - 1):
        raise ValueError(f"patch must be a power of two of at least 4, found {patch}")
    if len(crop_zyx) != 3 or any(size % patch or size <= 0 for size in crop_zyx):
        raise ValueError(f"crop_zyx must be three positive multiples of patch {patch}, found {tuple(crop_zyx)}")
    if width % heads:
        raise ValueError(f"width must be a multiple of heads {heads}, found {width}")
