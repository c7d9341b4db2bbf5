"""What of a masked payload may leave: the rows of the round's sum in the shape that was agreed, and no count beside."""

from collections.abc import Iterator, Sequence

import numpy as np

from protocol.messages.payload import Payload
from protocol.messages.tensors import TensorSpec
from strategies.secure_sum.fixed_point import limb_finding
from strategies.secure_sum.layout import MASKED


def is_masked(payload: Payload) -> bool:
    """Whether a payload holds masked rows and nothing else."""
    return bool(payload.tensors) and all(key.startswith(MASKED) for key in payload.tensors)


def masked_findings(payload: Payload, specs: Sequence[TensorSpec]) -> Iterator[str]:
    """What of a masked payload is not one of `specs`, the rows of its round; a plain tensor is never one of them."""
    known = {spec.key: spec for spec in specs}
    if payload.support:
        yield f"masked rows come with counts of {sorted(payload.support)}, expected none"
    if payload.tensors.keys() != known.keys():
        yield f"tensors {sorted(payload.tensors)[:4]} are to leave, the sum has {sorted(known)}"
        return
    for key, array in sorted(payload.tensors.items()):
        if array.shape != known[key].shape or array.dtype != np.float32:
            yield f"row '{key}' has shape {array.shape} and type {array.dtype}, expected {known[key].shape} and float32"
        elif finding := limb_finding(array):
            yield f"row '{key}' {finding}"
