"""Two streams that add to each other at the end of every stage: a classifier of CT and PET (arXiv 2501.12425).

    for l in 1..L:   CT, PET = stage_l(CT), stage'_l(PET)         residual blocks, weights of their own
                     CT, PET = fusion_l(CT, PET)                  both get the same term added
    answer           W [mean(CT) ; mean(PET)] + bias

Shapes: images (b, 1, z, y, x) of any size; stage l has width * 2^(l - 1) channels at 1 / 2^l of each side, rounded up.
The paper's 3 stages of 3 blocks have 1,600,980 parameters: 800,240 a stream, 242 in the fusions, 258 in the head.
A modality that is absent takes its stream, the fusions and its half of the head with it: the other stream decides
alone, as the unimodal network of 800,370 parameters, whatever the rest has learnt. The paper needs both modalities.

That is the fusion as published, which both streams hear in full from the first step on. As an identity
(`fusion_models.pathways`) the term of a stage passes a gain of each channel, and PET's half of the head, where both
answer, one of each output. At 0, as they start, CT and PET are answered as CT alone; 1 is the published form.

Read here as two streams and the path between them, as the official predecessor is built; the paper counts three.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from fusion_models.contract import Assessor, refuse_ehr
from fusion_models.gates import Gain
from fusion_models.modality import present
from fusion_models.multistage.fusion import ACTIVATIONS, FUSIONS
from fusion_models.multistage.head import StreamHead, pool
from fusion_models.multistage.norms import NORMS
from fusion_models.multistage.residual import make_stream, smallest_map, stage_widths
from fusion_models.options import Sizes
from fusion_models.pathways import pathway_of

STREAM_PAPER: Sizes = {"width": 16, "stages": 3, "blocks": 3, "norm": "batch"}
STREAM_SMALL: Sizes = {"width": 8, "stages": 3, "blocks": 1, "norm": "instance"}
STREAM_TINY: Sizes = {"width": 4, "stages": 2, "blocks": 1, "norm": "instance"}
FUSION_PAPER: Sizes = {
    "fusion": "product",
    "fused_stages": (1, 2, 3),
    "activation": "none",
    "pet_reach": 1,
    "pathway": "published",
    "gain": 0.0,
}
MULTISTAGE_PAPER: Sizes = {**STREAM_PAPER, **FUSION_PAPER}
MULTISTAGE_SMALL: Sizes = {**STREAM_SMALL, **FUSION_PAPER}
MULTISTAGE_TINY: Sizes = {**STREAM_TINY, **FUSION_PAPER, "fused_stages": (1, 2)}
STARTS = ("published", "identity")
"""Those of `PATHWAYS` that differ here: PET has a stream of its own, which no offset on CT's would be."""


class MultistageClassifier(Assessor):
    """The classifier with its CT network (`ct_stream`), PET pathway (`pet_stream`), fusions and head.

    Args:
        crop_zyx: the smallest image that it is to take.
        outputs: answers a case. width: channels of the first stage. stages: L. blocks: residual blocks a stage, N.
        norm: name in `NORMS`. fusion: name in `FUSIONS`. fused_stages: stages, counted from 1, that a fusion closes;
            none leaves two streams that meet in the head alone. activation: name in `ACTIVATIONS`, after each squeeze.
        pet_reach: side in voxels of the cube over which PET's squeezed map is maximised, odd.
        pathway: "published" or "identity". gain: what the gains of an identity are at first.

    Raises:
        ValueError: a name is unknown, or sizes do not fit each other.
    """

    def __init__(
        self,
        *,
        crop_zyx: Sequence[int],
        outputs: int,
        width: int,
        stages: int,
        blocks: int,
        norm: str,
        fusion: str,
        fused_stages: Sequence[int],
        activation: str,
        pet_reach: int,
        pathway: str = "published",
        gain: float = 0.0,
    ) -> None:
        super().__init__()
        self.pathway = pathway_of(pathway, STARTS, gain=gain)
        check_stream(crop_zyx, stages=stages, norm=norm)
        _check_fusion(fusion, fused_stages, stages=stages, activation=activation, pet_reach=pet_reach)
        widths = stage_widths(width, stages)
        self.ct_stream, self.pet_stream = (make_stream(1, widths, blocks, NORMS[norm]) for _ in range(2))
        self.fusions = nn.ModuleDict(
            {
                str(stage): FUSIONS[fusion](
                    widths[stage - 1], norm=NORMS[norm], activation=activation, pet_reach=pet_reach
                )
                for stage in sorted(fused_stages)
            }
        )
        self.head = StreamHead(widths[-1], outputs)
        if self.pathway.gated:
            gains = {str(stage): Gain(widths[stage - 1], gain) for stage in sorted(fused_stages)}
            self.message_gains, self.answer_gain = nn.ModuleDict(gains), Gain(outputs, gain)

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> dict[str, Tensor]:
        """The last map (b, d, z', y', x') of each stream whose image, (b, 1, z, y, x), is there.

        Raises:
            ValueError: both are absent, their shapes differ, or there is EHR.
        """
        maps = check_images(self, ct, pet, ehr)
        streams = {"ct": self.ct_stream, "pet": self.pet_stream}
        for index in range(len(self.ct_stream)):
            maps = {name: streams[name][index](image) for name, image in maps.items()}
            stage = str(index + 1)
            if len(maps) == 2 and stage in self.fusions:
                gain = self.message_gains[stage] if self.pathway.gated else None
                maps = dict(zip(maps, self.fusions[stage](maps["ct"], maps["pet"], gain), strict=True))
        return maps

    def answer(self, features: Mapping[str, Tensor]) -> Tensor:
        """Logits (b, outputs) of the streams' last maps."""
        pooled = {name: pool(maps) for name, maps in features.items()}
        gain = self.answer_gain if self.pathway.gated else None
        logits: Tensor = self.head(pooled.get("ct"), pooled.get("pet"), gain)
        return logits

    def pool_features(self, ct: Tensor) -> Tensor:
        """Mean over positions of the CT stream's last map: (b, d)."""
        return pool(self.encode(ct, None)["ct"])


def check_images(model: nn.Module, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None) -> dict[str, Tensor]:
    """The images that are there, by modality, CT first; both of one shape (1, z, y, x), and without EHR."""
    refuse_ehr(model, ehr)
    first = pet if ct is None else ct
    return present(ct, pet, () if first is None else (1, *first.shape[2:]))


def check_stream(crop_zyx: Sequence[int], *, stages: int, norm: str) -> None:
    """Refuse an unknown norm, and images of which one voxel would be left: there is nothing to normalise over."""
    _check_name("norm", norm, NORMS)
    if len(crop_zyx) != 3 or min(crop_zyx) < 1:
        raise ValueError(f"crop_zyx must be three positive numbers (z, y, x), found {tuple(crop_zyx)}")
    if smallest_map(crop_zyx, stages) == (1, 1, 1):
        raise ValueError(
            f"{stages} stages leave one voxel of crop_zyx {tuple(crop_zyx)}; a side must be above {2**stages}"
        )


def _check_fusion(fusion: str, fused: Sequence[int], *, stages: int, activation: str, pet_reach: int) -> None:
    _check_name("fusion", fusion, FUSIONS)
    _check_name("activation", activation, ACTIVATIONS)
    if len(set(fused)) < len(fused) or not set(fused) <= set(range(1, stages + 1)):
        raise ValueError(f"fused_stages must be different stages of 1..{stages}, found {tuple(fused)}")
    if not pet_reach % 2:
        raise ValueError(f"pet_reach must be an odd number of voxels, found {pet_reach}")


def _check_name(what: str, name: str, known: Mapping[str, object]) -> None:
    if name not in known:
        raise ValueError(f"unknown {what} '{name}'; known: {sorted(known)}")
