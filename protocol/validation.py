"""What a payload must satisfy before any arithmetic touches it: the whole list of findings, or nothing.

Checked in this order: keys, shapes and dtypes; finite values; backbone, stage, round, phase and what must stand still;
how far the update moved; row gains of DoRA; support. Findings come in it too, and the first one decides the error's
class and code.

    | payload - start | <= move + shrink | start |      entry by entry; refused beyond (`protocol.local_steps`)
    norm_g = || payload_g - start_g ||_2                noted above 1.5 x the study's median of tensor group g

A payload that is scaled up, by accident or on purpose, pulls a weighted mean with it. What the steps of a round can do
to an entry bounds that pull from the first round on, needs no other center's word, and no honest update exceeds it. The
median of what the study saw so far decides nothing: centers that agree to send next to nothing would have every other
one refused.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np

from protocol.errors import (
    FrozenMovedError,
    GainError,
    LateError,
    NonFiniteError,
    NormError,
    OtherBackboneError,
    PayloadError,
    PhaseError,
    SupportError,
)
from protocol.local_steps import Reach
from protocol.messages.payload import Payload
from protocol.messages.tensors import (
    GROUPS,
    ROLE_GROUPS,
    Tensors,
    TensorSpec,
    group_in,
    is_statistic,
    kind_of,
    role_of,
)
from protocol.observations import FISHER

logger = logging.getLogger(__name__)

NORM_NOTED = 1.5

Finding = tuple[type[PayloadError], str]
Gains = Callable[[Payload], Iterable[str]]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a round expects of one center's payload.

    specs: the tensors that the round exchanges with this center, at the center's own rank; each group comes whole or
        not at all, and so does each kind of statistic beside a group (`key@control`).
    backbone_hash: content hash of the backbone this round started from.
    phase: the adapter roles that train in it (`protocol.messages.payload.phase_of`).
    frozen_hash: what `protocol.messages.payload.frozen_hash` gives for the tensors sent to the center.
    registered_cases: training cases the center registered with; no group can have more support.
    gains: says which row gains d are too small; asked once keys, shapes and values are sound. A magnitude that is not
        positive is found without it, since d = m / ||W0 + s B A||.
    start: what the center began each tensor from, whether it was sent or is known without; None leaves the update
        unchecked.
    reach: how far the round can take an entry of a tensor, by key; None where nothing trained.
    medians: group -> median norm of the study's updates of this kind so far; a group without one is not noted.
    """

    specs: Sequence[TensorSpec]
    backbone_hash: str
    stage: str
    server_round: int
    phase: str
    frozen_hash: str
    registered_cases: int
    gains: Gains | None = None
    start: Tensors | None = None
    reach: Callable[[str], Reach] | None = None
    medians: Mapping[str, float] = field(default_factory=dict)


def validate(payload: Payload, expected: Expected) -> None:
    """Accept a payload whole, or refuse it with everything that is wrong with it.

    Raises:
        PayloadError: every finding on its own line, with center, tensor or field, found and expected; of the
            subclass that fits the first.
    """
    _refuse(payload, expected, list(_findings(payload, expected)))


def _refuse(payload: Payload, expected: Expected, findings: Sequence[Finding]) -> None:
    if findings:
        lines = [f"  center '{payload.center}': {finding}" for _, finding in findings]
        raise findings[0][0](
            f"center '{payload.center}': payload for stage '{expected.stage}', round {expected.server_round} refused "
            f"with {len(findings)} finding(s); none of its tensors was used:\n" + "\n".join(lines)
        )


def validate_masked(payload: Payload, expected: Expected) -> None:
    """Accept a payload of masked rows, of which nothing but names, shapes and where they belong can be looked at.

    Raises:
        PayloadError: as `validate`.
    """
    missing = sorted({spec.key for spec in expected.specs} - payload.tensors.keys())
    findings: list[Finding] = [
        *_key_findings(payload, expected.specs, expected.phase),
        *((PayloadError, f"row '{key}' is missing") for key in missing),
        *_array_findings(payload, expected.specs),
        *_context_findings(payload, expected.backbone_hash, expected.stage, expected.server_round),
        *_phase_findings(payload, expected.phase, expected.frozen_hash),
    ]
    _refuse(payload, expected, findings)


def _findings(payload: Payload, expected: Expected) -> Iterator[Finding]:
    """All that is wrong, in the order of the module's first lines."""
    specs = expected.specs
    unsound = [*_key_findings(payload, specs, expected.phase), *_array_findings(payload, specs)]
    yield from unsound
    yield from _context_findings(payload, expected.backbone_hash, expected.stage, expected.server_round)
    yield from _phase_findings(payload, expected.phase, expected.frozen_hash)
    if expected.start is not None and not unsound:
        if expected.reach is not None:
            yield from reach_findings(payload, expected.start, expected.reach)
        _note_unusual(payload, update_norms(payload, expected.start, specs), expected.medians)
    yield from _gain_findings(payload, specs)
    if expected.gains is not None and not unsound:
        yield from ((GainError, finding) for finding in expected.gains(payload))
    yield from _support_findings(payload, specs, expected.registered_cases)


def update_norms(payload: Payload, start: Tensors, specs: Iterable[TensorSpec]) -> dict[str, float]:
    """L2 norm of (payload - start) in float64, by tensor group.

    Args:
        payload: a payload whose shapes are those of `start`.
        start: what the center began from. Statistics and tensors without a start do not count.
        specs: say which group a plain parameter belongs to.
    """
    groups, squares = {spec.key: spec.group for spec in specs}, defaultdict[str, list[float]](list)
    for key in sorted(key for key in payload.tensors if key in start and not is_statistic(key)):
        moved = payload.tensors[key] - start[key].astype(np.float64)
        squares[group_in(key, groups)].append(float(np.square(moved).sum()))
    return {group: math.sqrt(math.fsum(found)) for group, found in sorted(squares.items())}


def unusual(group: str, norm: float, median: float | None) -> str:
    """What is worth a look about the norm of a group's update, beside the median of earlier ones; "" for nothing."""
    if not median or norm <= NORM_NOTED * median:
        return ""
    found = f"update of group '{group}' has norm {norm:.4g}, {norm / median:.3g} times the study's median {median:.4g}"
    return f"{found}, usual is up to {NORM_NOTED:g} times"


def _key_findings(payload: Payload, specs: Sequence[TensorSpec], phase: str) -> Iterator[Finding]:
    """Keys nobody agreed on, factors that the phase freezes, and groups that arrived in part."""
    for key in sorted(payload.tensors.keys() - {spec.key for spec in specs}):
        if role_of(key) in ROLE_GROUPS and not is_statistic(key) and role_of(key) not in phase.split("+"):
            yield PhaseError, f"tensor '{key}' is a frozen factor in this round: {_trains(phase)}"
        else:
            yield PayloadError, f"tensor '{key}' is unknown, expected only tensors of the study's specs for this stage"
    for part, keys in sorted(_parts(specs).items()):
        missing = sorted(keys - payload.tensors.keys())
        if len(missing) < len(keys):
            for key in missing:
                expected = f"expected all {len(keys)} tensors of group '{part}' or none"
                yield PayloadError, f"tensor '{key}' is missing, {expected}"


def _array_findings(payload: Payload, specs: Sequence[TensorSpec]) -> Iterator[Finding]:
    sent = [
        (spec, payload.tensors[spec.key])
        for spec in sorted(specs, key=attrgetter("key"))
        if spec.key in payload.tensors
    ]
    for spec, array in sent:
        if array.shape != spec.shape:
            yield PayloadError, f"tensor '{spec.key}' has shape {array.shape}, expected {spec.shape}"
        if array.dtype != np.float32:
            yield PayloadError, f"tensor '{spec.key}' has dtype {array.dtype}, expected float32"
    for spec, array in sent:
        if array.dtype == np.float32 and (wrong := np.count_nonzero(~np.isfinite(array))):
            yield NonFiniteError, f"tensor '{spec.key}' has {wrong} non-finite value(s) of {array.size}, expected none"


def _context_findings(payload: Payload, backbone_hash: str, stage: str, server_round: int) -> Iterator[Finding]:
    if payload.backbone_hash != backbone_hash:
        yield OtherBackboneError, f"backbone_hash is {payload.backbone_hash!r}, expected {backbone_hash!r}"
    if payload.stage != stage:
        yield PayloadError, f"stage is {payload.stage!r}, expected {stage!r}"
    if payload.server_round != server_round:
        late = LateError if payload.server_round < server_round else PayloadError
        yield late, f"server_round is {payload.server_round!r}, expected {server_round!r}"


def _phase_findings(payload: Payload, phase: str, frozen_hash: str) -> Iterator[Finding]:
    if payload.phase != phase:
        yield PhaseError, f"phase is {payload.phase!r}, expected {phase!r}: {_trains(phase)}"
    if payload.frozen_hash != frozen_hash:
        moved = "a tensor that must stand still in this round moved at the center"
        yield FrozenMovedError, f"frozen_hash is {payload.frozen_hash!r}, expected {frozen_hash!r}: {moved}"


def reach_findings(payload: Payload, start: Tensors, reach: Callable[[str], Reach]) -> Iterator[Finding]:
    """Tensors that moved farther than the steps of the round can take them; those without a start are not judged."""
    for key in sorted(payload.tensors.keys() & start.keys()):
        begun = start[key].astype(np.float64)
        moved = np.abs(payload.tensors[key] - begun)
        farthest = reach(key)
        limit = farthest.move + farthest.shrink * np.abs(begun)
        if far := np.count_nonzero(~(moved <= limit)):
            found = f"tensor '{key}' moved by up to {moved.max():.3g}, in {far} value(s) of {moved.size} farther"
            yield NormError, f"{found} than the steps of the round can take them, expected at most {limit.max():.3g}"


def _note_unusual(payload: Payload, norms: Mapping[str, float], medians: Mapping[str, float]) -> None:
    for group, norm in norms.items():
        if found := unusual(group, norm, medians.get(group)):
            logger.warning("center '%s': %s", payload.center, found)


def _gain_findings(payload: Payload, specs: Sequence[TensorSpec]) -> Iterator[Finding]:
    """Magnitudes that are not positive; a Fisher diagonal, a mean of squares, that is negative."""
    for spec in sorted(specs, key=attrgetter("key")):
        array = payload.tensors.get(spec.key)
        if array is None or array.dtype != np.float32:
            continue
        if role_of(spec.key) == "magnitude" and not is_statistic(spec.key) and (wrong := np.count_nonzero(array <= 0)):
            found = f"tensor '{spec.key}' has {wrong} value(s) of {array.size} that are not positive"
            yield GainError, f"{found}, expected row gains d = m / ||W0 + s B A|| > 0"
        if spec.group == FISHER and (wrong := np.count_nonzero(array < 0)):
            yield PayloadError, f"tensor '{spec.key}' has {wrong} negative value(s) of {array.size}, expected none"


def _support_findings(payload: Payload, specs: Sequence[TensorSpec], registered_cases: int) -> Iterator[Finding]:
    """Support that contradicts the registered cases or the tensors sent; a payload that carries nothing."""
    if not payload.tensors:
        yield SupportError, "sends no tensor; a center without a usable case answers with an error code"
    groups, parts = sorted({spec.group for spec in specs}), _parts(specs)
    for group, cases in sorted(payload.support.items()):
        if group not in groups:
            yield SupportError, f"support names group '{group}', expected groups {groups}"
        if not 0 <= cases <= registered_cases:
            expected = f"expected 0 to {registered_cases} registered training cases"
            yield SupportError, f"support of group '{group}' is {cases}, {expected}"
    for group in groups:
        keys = {spec.key for spec in specs if spec.group == group}
        sent, reported = len(keys & payload.tensors.keys()), payload.support.get(group)
        whole = parts.get(group, set())
        if sent and reported is None:
            yield SupportError, f"support of group '{group}' is missing, expected a count beside its {sent} tensor(s)"
        if sent and reported == 0:
            finding = f"{sent} tensor(s) of group '{group}' came with support 0, expected none: absent is not zero"
            yield SupportError, finding
        if reported and whole and not whole & payload.tensors.keys():
            finding = f"support of group '{group}' is {reported} but none of its {len(whole)} tensor(s) came"
            yield SupportError, f"{finding}, expected all"


def _parts(specs: Sequence[TensorSpec]) -> dict[str, set[str]]:
    """Keys that come together, by name: a group's own tensors, and each kind of statistic beside them."""
    keys: dict[str, set[str]] = defaultdict(set)
    for spec in specs:
        beside = is_statistic(spec.key) and kind_of(spec.group) in GROUPS
        keys[f"{spec.group}@{spec.key.partition('@')[2]}" if beside else spec.group].add(spec.key)
    return keys


def _trains(phase: str) -> str:
    roles = ", ".join(phase.split("+")) if phase else "no factor of the shared adapter"
    return f"phase '{phase}' trains {roles}"
