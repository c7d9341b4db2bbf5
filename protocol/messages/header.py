"""The part of an instruction or reply that is no tensor, as one JSON text: shared by every encoding.

`protocol.flower_codec` puts the text and the tensors into Flower records, `protocol.socket_codec` into one safetensors blob;
both read it back here. Text and tensors are checked whole: an unknown, missing or wrongly typed field, a number
that is not finite and a tensor that is not float32 are refused by name.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from protocol.errors import PayloadError
from protocol.messages.diagnostics import diagnostic_findings
from protocol.messages.instruction import Comparison, Instruction, Kind, Reply, Score
from protocol.messages.payload import Payload
from protocol.messages.settings import ModalitySetting, Statistic, StudySettings, Training, findings
from protocol.messages.tensors import Tensors

MAXIMUM_REPLICATES = 1000


def comparison_findings(comparison: Comparison) -> Iterator[str]:
    """What of a comparison cannot be: a negative count, a difference of two Dice outside [-1, 1], too many replicates.

    The values stay out of the findings, since they may be a center's own.
    """
    if comparison.cases < 0:
        yield "cases is negative, expected a count"
    if comparison.difference is not None and not -1 <= comparison.difference <= 1:
        yield "difference is outside [-1, 1]"
    if len(comparison.replicates) > MAXIMUM_REPLICATES:
        yield f"has {len(comparison.replicates)} replicates, expected at most {MAXIMUM_REPLICATES}"
    outside = sum(1 for replicate in comparison.replicates if not -1 <= replicate <= 1)
    if outside:
        yield f"{outside} of {len(comparison.replicates)} replicate(s) are outside [-1, 1]"


def _possible(comparison: Comparison) -> Comparison:
    if found := list(comparison_findings(comparison)):
        raise ValueError("; ".join(found))
    return comparison


def _listed(figures: Mapping[str, float]) -> Mapping[str, float]:
    if found := list(diagnostic_findings(figures)):
        raise ValueError("; ".join(found))
    return figures


class _Header(BaseModel):
    """Strict both ways: values inside dataclasses are checked again, so that no NaN turns into null unseen."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, revalidate_instances="always"
    )


class _InstructionHeader(_Header):
    kind: Kind
    settings: StudySettings
    stage: str
    server_round: int
    backbone_hash: str
    training: Training | None
    statistics: tuple[Statistic, ...]
    acknowledged: int


class _PayloadHeader(_Header):
    center: str
    backbone_hash: str
    stage: str
    server_round: int
    support: Mapping[str, int]
    phase: str
    frozen_hash: str


class _ReplyHeader(_Header):
    center: str
    kind: Kind
    error: str
    payload: _PayloadHeader | None
    scores: Mapping[ModalitySetting, Score]
    comparison: Annotated[Comparison, AfterValidator(_possible)] | None
    diagnostics: Annotated[Mapping[str, float], AfterValidator(_listed)]
    loss: float | None
    seconds: float
    facts: Mapping[str, int | float | str]


Header = TypeVar("Header", bound=_Header)


def instruction_text(instruction: Instruction) -> str:
    """Everything of an instruction but its tensors, as JSON.

    Raises:
        PayloadError: a field has the wrong type or is not finite; names the field.
    """
    fields = {name: getattr(instruction, name) for name in _InstructionHeader.model_fields}
    return _written("instruction", _InstructionHeader, fields)


def instruction_from(text: str, tensors: Tensors, backbone: Tensors, reference: Tensors) -> Instruction:
    """Put an instruction together again.

    Raises:
        PayloadError: the text is not what `instruction_text` writes, or a tensor is not float32.
    """
    header = _read("instruction", _InstructionHeader, text)
    return Instruction(
        kind=header.kind,
        settings=header.settings,
        stage=header.stage,
        server_round=header.server_round,
        backbone_hash=header.backbone_hash,
        training=header.training,
        tensors=float32_only(tensors),
        backbone=float32_only(backbone),
        reference=float32_only(reference),
        statistics=header.statistics,
        acknowledged=header.acknowledged,
    )


def reply_text(reply: Reply) -> str:
    """Everything of a reply but its tensors, as JSON.

    Raises:
        PayloadError: a field has the wrong type or is not finite; names the field.
    """
    names = _ReplyHeader.model_fields.keys() - {"payload"}
    fields = {name: getattr(reply, name) for name in names} | {"payload": _payload_fields(reply.payload)}
    return _written(f"reply of center '{reply.center}'", _ReplyHeader, fields)


def reply_from(text: str, tensors: Tensors) -> Reply:
    """Put a reply together again.

    Raises:
        PayloadError: the text is not what `reply_text` writes, a tensor is not float32, or tensors came
            without the payload that says whose they are.
    """
    header = _read("reply", _ReplyHeader, text)
    if header.payload is None and tensors:
        raise PayloadError(f"reply of center '{header.center}': field payload is null beside {len(tensors)} tensor(s)")
    return Reply(
        center=header.center,
        kind=header.kind,
        error=header.error,
        payload=_payload(header.payload, tensors),
        scores=header.scores,
        comparison=header.comparison,
        diagnostics=header.diagnostics,
        loss=header.loss,
        seconds=header.seconds,
        facts=header.facts,
    )


def float32_only(tensors: Tensors) -> dict[str, NDArray[np.float32]]:
    """The same values as C-order little-endian float32 arrays, the one layout that travels; shapes are kept.

    Raises:
        PayloadError: an array of another dtype; nothing is cast, since a cast hides who made it. Names all.
    """
    found = [
        f"tensor '{key}' has dtype {array.dtype}, expected float32"
        for key, array in sorted(tensors.items())
        if array.dtype.newbyteorder("=") != np.float32
    ]
    if found:
        raise PayloadError("; ".join(found))
    return {key: np.asarray(array, dtype="<f4", order="C") for key, array in tensors.items()}


def _payload_fields(payload: Payload | None) -> dict[str, Any] | None:
    if payload is None:
        return None
    return {name: getattr(payload, name) for name in _PayloadHeader.model_fields}


def _payload(header: _PayloadHeader | None, tensors: Tensors) -> Payload | None:
    return None if header is None else Payload(**dict(header), tensors=float32_only(tensors))


def _written(what: str, header: type[Header], fields: Mapping[str, Any]) -> str:
    try:
        return header.model_validate(fields).model_dump_json()
    except ValidationError as error:
        raise PayloadError(_findings(what, error)) from error


def _read(what: str, header: type[Header], text: str) -> Header:
    try:
        return header.model_validate_json(text)
    except ValidationError as error:
        raise PayloadError(_findings(what, error)) from error


def _findings(what: str, error: ValidationError) -> str:
    """One line a field; the offending values stay out, since they may be a center's own."""
    lines = findings(error, "text")
    return "\n  ".join([f"{what}: {len(lines)} field(s) not as agreed; do both sides run the same version?", *lines])
