"""How many tensors, of how many bytes, an answer may bring: those that a study could ask of a center, and few more."""

import math
from collections.abc import Sequence

from protocol.messages.instruction import Kind
from protocol.messages.tensors import TensorSpec, at_rank, role_of
from protocol.observations import FEATURES, MAXIMUM_FEATURES
from protocol.packed_tensors import FLOAT_BYTES, BlobBounds
from server.grid.transport import Bounds
from server.study.directory import Prepared
from strategies.continual.terms import terms_with_weight

MARGIN = 16
"""So many tensors too many are still named one by one; more are counted."""
NOTHING = BlobBounds(tensors=0, tensor_bytes=0)


def reply_bounds(prepared: Prepared) -> Bounds:
    """What each center of a study may answer with, by its name and the kind of what is asked."""
    study = prepared.study
    endings = [ending for term in terms_with_weight(study.strategy.terms) for ending in term.return_endings]

    def bounds(center: str, kind: Kind) -> BlobBounds:
        own = study.centers[center].rank if center in study.centers else None
        specs = [at_rank(spec, own) for spec in prepared.specs]
        if kind in {"train", "collect"}:
            halves = ("",) if study.secure_aggregation is not None else ()
            return _bounds_of([spec for spec in specs for _ in ("", *endings, *halves)])
        return _bounds_of(_observed(specs, study.strategy.sketch_rank)) if kind == "observe" else NOTHING

    return bounds


def _observed(specs: Sequence[TensorSpec], sketch_rank: int) -> list[TensorSpec]:
    """The largest statistics of every tensor and module, and of the features."""
    grams = [
        TensorSpec(spec.key, spec.group, (sketch_rank, math.prod(spec.shape[1:])))
        for spec in specs
        if role_of(spec.key) == "lora_a"
    ]
    features = [TensorSpec(name, name, (MAXIMUM_FEATURES + 1, MAXIMUM_FEATURES)) for name in FEATURES]
    return [*specs, *grams, *features]


def _bounds_of(specs: Sequence[TensorSpec]) -> BlobBounds:
    values = sum(math.prod(spec.shape) for spec in specs)
    return BlobBounds(tensors=len(specs) + MARGIN, tensor_bytes=FLOAT_BYTES * (values + MARGIN))
