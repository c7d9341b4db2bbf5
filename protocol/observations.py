"""What a center may observe for a stage's memory: which statistics, about what, and how large."""

import math
from collections.abc import Mapping, Sequence

from protocol.messages.payload import Payload
from protocol.messages.tensors import TensorSpec

GRAM, FISHER = "gram", "fisher"
FEATURES = ("features.ct", "features.pet")
OBSERVED = (GRAM, FISHER, *FEATURES)
MAXIMUM_FEATURES = 1029
"""Last features of a frozen network, 1024, and five intensities. Eigenvalues of a scatter take p cubed steps, which one
center of a larger p would make all others wait for."""


def statistic_spec(
    key: str, shape: Sequence[int], specs: Mapping[str, TensorSpec], sketch_rank: int
) -> TensorSpec | None:
    """What an observed statistic must be to travel, or None where no statistic of this name may.

        key@fisher                 shape of `key`; group "fisher"
        M@gram                     (q, k), q <= sketch_rank, k inputs of module M; group "gram"
        features.ct@mean           (p,), p <= 1029; group "features.ct"; so for PET
        features.ct@scatter        (p, p)

    Args:
        key: the statistic's key.
        shape: its shape; only q and p are read from it.
        specs: key -> spec of every tensor the study may exchange.
        sketch_rank: most rows of a Gram sketch.
    """
    about, _, name = key.partition("@")
    length = max(1, shape[0]) if shape else 1
    if name == FISHER and about in specs:
        return TensorSpec(key, FISHER, specs[about].shape)
    if name == GRAM and f"{about}#lora_a" in specs:
        inputs = math.prod(specs[f"{about}#lora_a"].shape[1:])
        return TensorSpec(key, GRAM, (min(length, sketch_rank), inputs))
    if about in FEATURES and name in {"mean", "scatter"}:
        side = min(length, MAXIMUM_FEATURES)
        return TensorSpec(key, about, (side,) if name == "mean" else (side, side))
    return None


def observation_specs(payload: Payload, specs: Sequence[TensorSpec], sketch_rank: int) -> tuple[TensorSpec, ...]:
    """What `validate` is to expect of an answer to `observe`: the statistics it holds, at the sizes it chose.

    Mean and scatter of one modality's features are expected together, at one size.
    """
    known = {spec.key: spec for spec in specs}
    shapes = {key: array.shape for key, array in payload.tensors.items()}
    for about in FEATURES:
        pair = [f"{about}@{name}" for name in ("mean", "scatter")]
        found = [shapes[key] for key in pair if key in shapes]
        shapes |= dict.fromkeys(pair, found[0]) if found else {}
    found_specs = [statistic_spec(key, shape, known, sketch_rank) for key, shape in sorted(shapes.items())]
    return tuple(spec for spec in found_specs if spec is not None and spec.group in OBSERVED)
