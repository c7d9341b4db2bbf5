"""PEMMA's prognosis: an EHR token beside the patch tokens and a case head over the pooled tokens (arXiv 2504.13645).

Symbols, with the shapes beside them (b batch, n tokens an image, d width, k covariates, o outputs):

    t_E        (b, 1, d)        W e + c, the case's encoded EHR vector e (b, k) as one token
    T          (b, 1 + 2n, d)   [t_E ; T_C ; T_P]; all blocks attend over all tokens
    u          (b, d)           mean of the normalised last tokens that `pool` names
    answer     (b, o)           head(u): Linear, LayerNorm, ReLU, dropout for each hidden width, then Linear
    mask                        PEMMA-UNETR's decoder over the image rows that it reads there

What the o outputs mean is the task's: increments of MTLR, one log hazard of Cox, or the logits of classes.
The published code holds no prognosis. Its default is the group's TMSS (tokens, widths of the head, dropout), with two
changes: LayerNorm in place of BatchNorm, whose running statistics would not travel, and a choice of what is pooled.
Image tokens carry the positions of their own modality. The EHR token needs none: a learnt vector added to the only
token of its kind is the bias c.

A missing modality drops its tokens, EHR as CT and PET; without EHR this is `PemmaUnetr`, parameter for parameter and
bit for bit. EHR alone runs through the same blocks as a sequence of one token, which attends to itself: what was learnt
of EHR beside images still applies, and a center without images takes part. A mask needs an image, which EHR may help
to read, as in TMSS.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fusion_models.contract import Assessor
from fusion_models.modality import present
from fusion_models.options import Sizes
from fusion_models.pemma.unetr import (
    PEMMA_PAPER,
    PEMMA_SMALL,
    PEMMA_TINY,
    PemmaUnetr,
    UnetrFeatures,
    decode,
    decode_scales,
)

# Which start serves a prognosis has not been measured.
CASE_OPTIONS: Sizes = {"pathway": "published", "dropout": 0.2, "pool": "image"}
PROGNOSIS_PAPER: Sizes = {**PEMMA_PAPER, **CASE_OPTIONS, "head": (512, 128)}
PROGNOSIS_SMALL: Sizes = {**PEMMA_SMALL, **CASE_OPTIONS, "head": (48,)}
PROGNOSIS_TINY: Sizes = {**PEMMA_TINY, **CASE_OPTIONS, "head": (12,), "dropout": 0.0}

Parts = Mapping[str, Tensor]
IMAGES = ("ct", "pet")


class PrognosisFeatures(NamedTuple):
    """What head and decoder read.

    parts: the normalised last tokens of each present modality, EHR first: ehr (b, 1, d), ct and pet (b, n, d).
    hidden: the decoder's hidden states (b, n, d), finest tap first; none without an image.
    ct, pet: the images, for the decoder's skip, which the head does without.
    """

    parts: dict[str, Tensor]
    hidden: list[Tensor]
    ct: Tensor | None
    pet: Tensor | None


class PemmaPrognosis(PemmaUnetr, Assessor):
    """PEMMA-UNETR with an EHR token (`ehr_embedding`) and a case head (`head`).

    Args:
        width: token width d. network: what else `PemmaUnetr` takes.
        outputs: o, outputs of the head; with 0 the network has none.
        covariates: k, width of the encoded EHR vector; with 0 the network takes no EHR.
        head: hidden widths of the head.
        dropout: after each hidden width.
        pool: a row of `POOLS`.

    Raises:
        ValueError: sizes do not fit each other, or no pooling has this name.
    """

    def __init__(
        self,
        *,
        width: int,
        head: Sequence[int],
        outputs: int,
        covariates: int,
        dropout: float = 0.2,
        pool: str = "image",
        **network: Any,
    ) -> None:
        super().__init__(width=width, **network)
        if pool not in POOLS:
            raise ValueError(f"unknown pool '{pool}'; known: {sorted(POOLS)}")
        self.pool, self.covariates = POOLS[pool], covariates
        if covariates:
            self.ehr_embedding = nn.Linear(covariates, width)
        self.head = case_head((width, *head), outputs, dropout) if outputs else None

    def encode(  # type: ignore[override]  # features of its own
        self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None
    ) -> PrognosisFeatures:
        """Features of images (b, 1, z, y, x) and EHR vectors (b, k), each present or absent.

        Raises:
            ValueError: all are absent, or a size is not the network's.
        """
        embedded = self.embed(ct, pet, ehr)
        states, last = self.states(embedded)
        whole = last[0] if len(last) == 1 else torch.cat(last, dim=1)
        parts = whole.split([part.shape[1] for part in embedded.values()], dim=1)
        first, n = int(ehr is not None), self.vit.patch_embedding.n_patches
        hidden = [state[:, first : first + n] for state in states] if len(embedded) > first else []
        return PrognosisFeatures(dict(zip(embedded, parts, strict=True)), hidden, ct, pet)

    def embed(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> dict[str, Tensor]:
        """Tokens of each present modality in the order of the sequence: ehr (b, 1, d), ct and pet (b, n, d)."""
        if ct is None and pet is None and ehr is None:
            raise ValueError("a case needs CT, PET or EHR; found none")
        embedded = {} if ehr is None else {"ehr": self._embed_ehr(ehr)}
        if ct is not None or pet is not None:
            present(ct, pet, (1, *self.crop_zyx))
        return embedded | self.tokens(ct, pet)

    def decode(self, features: PrognosisFeatures) -> Tensor:  # type: ignore[override]  # each reads its own features
        """Logits (b, classes, z, y, x).

        Raises:
            ValueError: there is no image.
        """
        return decode(self, self._of_mask(features), self.grid_zyx)

    def scales(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> list[Tensor]:
        """Logits (b, classes, z / f, y / f, x / f) of the supervised scales; errors as in `encode` and `decode`."""
        return decode_scales(self, self._of_mask(self.encode(ct, pet, ehr)), self.grid_zyx)

    def answer(self, features: PrognosisFeatures) -> Tensor:
        """The head's outputs (b, o).

        Raises:
            ValueError: the network was built without outputs.
        """
        if self.head is None:
            raise ValueError("the network was built without a head; give the study a task of whole cases")
        found: Tensor = self.head(self.pool(features.parts))
        return found

    def _of_mask(self, features: PrognosisFeatures) -> UnetrFeatures:
        """What the decoder reads."""
        if not features.hidden:
            raise ValueError("a mask needs CT, PET or both; found EHR alone")
        images = tuple(name for name in features.parts if name in IMAGES)
        return UnetrFeatures(features.hidden, self.skip(features.ct, features.pet), images)

    def _embed_ehr(self, ehr: Tensor) -> Tensor:
        if not self.covariates:
            raise ValueError("the network was built without covariates, found an EHR vector; name them in the study")
        if ehr.ndim != 2 or ehr.shape[1] != self.covariates:
            raise ValueError(f"ehr must have shape (b, {self.covariates}), found {tuple(ehr.shape)}")
        token: Tensor = self.ehr_embedding(ehr)
        return token[:, None]


def case_head(widths: Sequence[int], outputs: int, dropout: float) -> nn.Sequential:
    """Linear, LayerNorm, ReLU, dropout from each width to the next, then Linear to the outputs: (b, d) -> (b, o)."""
    hidden = [
        layer
        for inputs, following in pairwise(widths)
        for layer in (nn.Linear(inputs, following), nn.LayerNorm(following), nn.ReLU(), nn.Dropout(dropout))
    ]
    return nn.Sequential(*hidden, nn.Linear(widths[-1], outputs))


def pool_image(parts: Parts) -> Tensor:
    """Mean over the tokens that the decoder reads: CT's, PET's without CT; EHR's where there is no image. (b, d)."""
    return next(parts[name] for name in ("ct", "pet", "ehr") if name in parts).mean(1)


def pool_all(parts: Parts) -> Tensor:
    """Mean over all tokens, as TMSS has it: (b, d)."""
    return torch.cat(list(parts.values()), dim=1).mean(1)


def pool_modalities(parts: Parts) -> Tensor:
    """Mean of the modalities' means, so that one EHR token weighs as much as an image's n: (b, d)."""
    return torch.stack([part.mean(1) for part in parts.values()]).mean(0)


POOLS: Mapping[str, Callable[[Parts], Tensor]] = {
    "image": pool_image,
    "all": pool_all,
    "modalities": pool_modalities,
}
