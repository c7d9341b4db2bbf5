"""Which tensors an instruction may bring: those of the study, at the center's rank, and what its local terms remember.

A residual has a rank of its own, at most both sides of its module together; everything else has the shape that the
center's settings give it. What is not the study's is refused before a network is built or a case is read.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from protocol.errors import OtherStudyError
from protocol.local_steps import is_gate
from protocol.messages.instruction import Instruction
from protocol.messages.tensors import BACKBONE, PET, Tensors, TensorSpec, is_statistic, module_of, role_of
from protocol.observations import GRAM, statistic_spec
from strategies.continual.memory import MASS
from strategies.continual.terms import terms_with_weight

SHOWN = 5
A, B = "#lora_a", "#lora_b"
OPENINGS = frozenset({"pathway", "gate", "gain"})
"""Options of a model that say how its PET pathway starts."""


def check_received(instruction: Instruction, center: str, specs: Sequence[TensorSpec]) -> None:
    """Refuse tensors that are not the study's.

    Args:
        instruction: what the coordinator asks.
        center: who is asked.
        specs: every tensor that the study may exchange, as the instruction's settings have it.

    Raises:
        OtherStudyError: names the first few.
    """
    known = {spec.key: spec for spec in specs}
    found = [
        *_findings("tensors", instruction.tensors, known, instruction),
        *_findings("reference", instruction.reference, known, None),
        *_backbone_findings(instruction.backbone, known),
        *_start_findings(instruction, known),
    ]
    if found:
        more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise OtherStudyError(
            f"center '{center}': '{instruction.kind}' of stage {instruction.stage!r} brings what is not the study's: "
            f"{'; '.join(found[:SHOWN])}{more}. Nothing was done. Ask the coordinator which version it runs"
        )


def _findings(
    where: str, tensors: Tensors, known: Mapping[str, TensorSpec], instruction: Instruction | None
) -> Iterator[str]:
    for key, array in tensors.items():
        if array.dtype != np.float32:
            yield f"{where} '{key[:80]}' is {array.dtype}, expected float32"
        elif is_statistic(key):
            if instruction is None or not _is_remembered(key, array.shape, known, instruction):
                yield f"{where} '{key[:80]}' of shape {array.shape} is no statistic that the round's local terms have"
        elif not _is_of_the_study(key, array.shape, known):
            expected = f"expected {known[key].shape}" if key in known else "which the study does not have"
            yield f"{where} '{key[:80]}' has shape {array.shape}, {expected}"


def _start_findings(instruction: Instruction, known: Mapping[str, TensorSpec]) -> Iterator[str]:
    """Tensors of a PET pathway without gates, where the settings leave open how it starts and gates are usual now."""
    gates, options = {key for key in known if is_gate(key)}, instruction.settings.model.options
    if not gates or OPENINGS & options.keys() or gates & instruction.tensors.keys():
        return
    if any(known[key].group == PET for key in instruction.tensors if key in known):
        yield (
            f"PET's pathway came without its gates ('{min(gates)}'): the settings leave its start open, which meant "
            '`pathway = "published"` when the study was prepared; end it with the version that began it, or prepare it '
            "anew with `pathway` in [model.options]"
        )


def _backbone_findings(backbone: Tensors, known: Mapping[str, TensorSpec]) -> Iterator[str]:
    """A backbone comes whole or not at all."""
    if not backbone:
        return
    expected = {key: spec.shape for key, spec in known.items() if spec.group == BACKBONE}
    found = {key: array.shape for key, array in backbone.items()}
    for key in sorted(expected.keys() | found.keys()):
        if found.get(key) != expected.get(key):
            yield f"backbone '{key[:80]}' has shape {found.get(key)}, expected {expected.get(key)}"


def _is_of_the_study(key: str, shape: tuple[int, ...], known: Mapping[str, TensorSpec]) -> bool:
    if role_of(key) not in {"residual_a", "residual_b"}:
        return key in known and shape == known[key].shape
    module = module_of(key)
    if module + A not in known or module + B not in known:
        return False
    (_, *inputs), (outputs, _, *_) = known[module + A].shape, known[module + B].shape
    most = math.prod(inputs) + outputs
    rank = shape[0] if role_of(key) == "residual_a" else shape[1] if len(shape) > 1 else 0
    like = known[module + (A if role_of(key) == "residual_a" else B)].shape
    expected = (rank, *like[1:]) if role_of(key) == "residual_a" else (like[0], rank, *like[2:])
    return 0 < rank <= most and shape == expected


def _is_remembered(key: str, shape: tuple[int, ...], known: Mapping[str, TensorSpec], instruction: Instruction) -> bool:
    """Whether a local term of the round asks for the statistic, in the shape that it must have."""
    about, _, name = key.partition("@")
    terms = () if instruction.training is None else terms_with_weight(instruction.training.terms)
    endings = {ending for term in terms for ending in (*term.memory_endings, *term.return_endings)}
    if f"@{name}" not in endings:
        return False
    if name.endswith(MASS):
        return shape == (1,) and (about in known or about + A in known)
    if name == GRAM:
        spec = statistic_spec(key, shape, known, instruction.settings.sketch_rank)
        return spec is not None and spec.shape == shape
    return about in known and known[about].shape == shape
