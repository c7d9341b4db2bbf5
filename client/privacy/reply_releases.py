"""What a reply releases of patients, by kind: what the ledger for life is to hold of it before it leaves.

    training      tensors that a round trained, masked ones of a sum too, and its loss        training patients
    fisher, gram, prototype      statistics that were observed                                training patients
    score         scores and diagnostics                     validation patients of a round, test patients of a row
    comparison    a candidate beside what was served         validation patients; where its losses are attacked first,
                                                             training patients as well, also in the refusal that follows
    comparison    what is served beside a center's own arm   test patients, and training patients, who trained the arm

Counts of cases, the codes of other errors and the phases of a sum, which touch no case, are none. What leaves of a
private round was written down with its noise (`client.privacy.private_rounds`).
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from client.privacy.release import Release, ReleaseKind, release_without_guarantee
from protocol.errors import LeakError
from protocol.messages.instruction import Instruction, Part
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.tensors import content_hash
from protocol.messages.text import to_text

OBSERVED: Mapping[str, ReleaseKind] = {"fisher": "fisher", "gram": "gram", "mean": "prototype", "scatter": "prototype"}
"""How the key of an observed statistic ends, and the kind of its release."""


@dataclass(frozen=True)
class Released:
    """A release of a reply. content: SHA-256 of it. parts: whose patients it may stand on."""

    release: Release
    content: str
    parts: tuple[Part, ...]


def releases_in(
    reply: Reply, leaving: Reply, instruction: Instruction, *, content: str, attacked: bool
) -> Iterator[Released]:
    """What leaves without a mechanism.

    Args:
        reply: what may leave of the work, before a sum masks it.
        leaving: what leaves.
        instruction: that is answered.
        content: SHA-256 of the tensors that leave.
        attacked: whether the center attacks a candidate before it compares it.
    """
    payload = leaving.payload
    stage, number = (payload.stage, payload.server_round) if payload else (instruction.stage, instruction.server_round)

    def released(kind: ReleaseKind, digest: str, *parts: Part) -> Released:
        return Released(release_without_guarantee(kind, instruction.settings.study, stage, number), digest, parts)

    if leaving.error:
        if attacked and leaving.error == LeakError.code:
            yield released("comparison", content_hash(instruction.tensors), "train", "validation")
        return
    if payload is not None and instruction.kind == "observe":
        yield from (released(kind, content, "train") for kind in _observed(payload))
    elif instruction.settings.privacy is None and (leaving.tensors or reply.loss is not None):
        yield released("training", content, "train")
    if reply.scores or reply.diagnostics:
        figures = Reply(center="", kind="evaluate", scores=reply.scores, diagnostics=reply.diagnostics)
        yield released("score", _digest(figures), "test" if instruction.kind == "evaluate" else "validation")
    if any(found.comparison is not None for found in reply.benefits):
        figures = Reply(center="", kind="evaluate", benefits=reply.benefits)
        yield released("comparison", _digest(figures), "train", "test")
    if reply.comparison is not None:
        figures = Reply(center="", kind="compare", comparison=reply.comparison)
        yield released("comparison", _digest(figures), *(("train",) if attacked else ()), "validation")


def _observed(payload: Payload) -> list[ReleaseKind]:
    return sorted({OBSERVED[key.rpartition("@")[2]] for key in payload.tensors})


def _digest(figures: Reply) -> str:
    return hashlib.sha256(to_text(figures).encode()).hexdigest()
