"""What a payload must satisfy before any arithmetic touches it: the whole list of findings, or nothing."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from strategies.errors import PayloadError
from strategies.payload import Payload
from strategies.tensors import TensorSpec


def admit(
    payload: Payload,
    *,
    specs: Sequence[TensorSpec],
    backbone_hash: str,
    stage: str,
    server_round: int,
    registered_cases: int,
) -> None:
    """Accept a payload whole, or refuse it with everything that is wrong with it.

    Args:
        payload: what the center sent.
        specs: the tensors that this stage exchanges; a center sends each of their groups whole or not at all.
        backbone_hash: content hash of the backbone this round started from.
        stage: the stage under way.
        server_round: the round under way.
        registered_cases: training cases the center registered with; no group can have more support.

    Raises:
        PayloadError: every finding on its own line, with center, tensor or field, found and expected.
    """
    expected: dict[str, str | int] = {"backbone_hash": backbone_hash, "stage": stage, "server_round": server_round}
    findings = [
        *_context_findings(payload, expected),
        *_key_findings(payload, specs),
        *_tensor_findings(payload, specs),
        *_support_findings(payload, specs, registered_cases),
    ]
    if findings:
        lines = [f"  center '{payload.center}': {finding}" for finding in findings]
        raise PayloadError(
            f"center '{payload.center}': payload for stage '{stage}', round {server_round} refused with "
            f"{len(findings)} finding(s); none of its tensors was used:\n" + "\n".join(lines)
        )


def _context_findings(payload: Payload, expected: dict[str, str | int]) -> Iterator[str]:
    for name, value in expected.items():
        found = getattr(payload, name)
        if found != value:
            yield f"{name} is {found!r}, expected {value!r}"


def _key_findings(payload: Payload, specs: Sequence[TensorSpec]) -> Iterator[str]:
    """Keys nobody agreed on, and groups that arrived in part."""
    for key in sorted(payload.tensors.keys() - {spec.key for spec in specs}):
        yield f"tensor '{key}' is unknown, expected only tensors of the study's ledger for this stage"
    for group, keys in sorted(_keys_by_group(specs).items()):
        missing = sorted(keys - payload.tensors.keys())
        if len(missing) < len(keys):
            for key in missing:
                yield f"tensor '{key}' is missing, expected all {len(keys)} tensors of group '{group}' or none"


def _tensor_findings(payload: Payload, specs: Sequence[TensorSpec]) -> Iterator[str]:
    for spec in sorted(specs, key=lambda spec: spec.key):
        if spec.key in payload.tensors:
            for finding in _array_findings(payload.tensors[spec.key], spec):
                yield f"tensor '{spec.key}' {finding}"


def _array_findings(array: NDArray[np.float32], spec: TensorSpec) -> Iterator[str]:
    if array.shape != spec.shape:
        yield f"has shape {array.shape}, expected {spec.shape}"
    if array.dtype != np.float32:
        yield f"has dtype {array.dtype}, expected float32"
    elif not np.isfinite(array).all():
        yield f"has {np.count_nonzero(~np.isfinite(array))} non-finite value(s) of {array.size}, expected none"


def _support_findings(payload: Payload, specs: Sequence[TensorSpec], registered_cases: int) -> Iterator[str]:
    """Support that contradicts the registered cases or the tensors sent."""
    groups = _keys_by_group(specs)
    for group, cases in sorted(payload.support.items()):
        if group not in groups:
            yield f"support names group '{group}', expected groups {sorted(groups)}"
        if not 0 <= cases <= registered_cases:
            yield f"support of group '{group}' is {cases}, expected 0 to {registered_cases} registered training cases"
    for group, keys in sorted(groups.items()):
        sent = len(keys & payload.tensors.keys())
        reported = payload.support.get(group)
        if sent and reported is None:
            yield f"support of group '{group}' is missing, expected a count beside its {sent} tensor(s)"
        if sent and reported == 0:
            yield f"{sent} tensor(s) of group '{group}' came with support 0, expected none: absent is not zero"
        if not sent and reported:
            yield f"support of group '{group}' is {reported} but none of its {len(keys)} tensor(s) came, expected all"


def _keys_by_group(specs: Sequence[TensorSpec]) -> dict[str, set[str]]:
    keys: dict[str, set[str]] = defaultdict(set)
    for spec in specs:
        keys[spec.group].add(spec.key)
    return keys
