"""A reply on its way out of a center, without a trainer: checked, then written to a log."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from client.outgoing.egress import check_reply
from client.outgoing.outgoing_log import log_reply
from client.outgoing.payload_egress import EgressLimits
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison
from protocol.messages.settings import Model, StudySettings
from protocol.messages.tensors import TensorSpec
from tests.support.segmentation_scores import dice_score

SPECS = (
    TensorSpec(key="a#lora_a", group="peft", shape=(1, 2)),
    TensorSpec(key="pet.weight", group="pet", shape=(2,)),
    TensorSpec(key="a#center_a", group="center", shape=(1, 2)),
    TensorSpec(key="norm#norm_bias", group="norm", shape=(2,)),
    TensorSpec(key="conv#lora_a", group="peft", shape=(4, 2, 3, 3, 3)),
)
TENSORS = {"a#lora_a": np.array([[1, 2]], np.float32)}
PAYLOAD = Payload(
    center="a", backbone_hash="0" * 64, stage="adapt", server_round=3, tensors=TENSORS, support={"peft": 5}
)
REPLY = Reply(
    center="a",
    kind="train",
    payload=PAYLOAD,
    scores={"ct+pet": dice_score(cases=5, dice=0.7, hd95_mm=4.0)},
    loss=0.4,
    seconds=1.5,
    facts={"train_cases": 5, "modalities": "ct+pet"},
)
INSTRUCTION = Instruction(kind="train", settings=StudySettings(study="s", seed=0, model=Model(name="none")))
COMPARED = Reply(center="a", kind="compare", comparison=Comparison(cases=5, difference=0.25, standard_error=0.125))


def leave(
    reply: Reply,
    log: Path,
    limits: EgressLimits,
    specs: Sequence[TensorSpec] = (),
    *,
    sketch_rank: int = 32,
    instruction: Instruction | None = None,
    again: bool = False,
) -> Reply:
    """What leaves in place of `reply`, after its line is in `log`."""
    settings = INSTRUCTION.settings.model_copy(update={"sketch_rank": sketch_rank})
    answered = instruction or replace(INSTRUCTION, settings=settings)
    leaving, held_back = check_reply(reply, limits, answered, specs)
    log_reply(log, leaving, instruction, held_back, again=again)
    return leaving.reply


def send(reply: Reply, log: Path, *, sketch_rank: int = 32, **limits: Any) -> Reply:
    """What leaves a center of PEFT, from 5 cases on, up to 8 bytes."""
    allowed: dict[str, Any] = {"owned_groups": ("peft",), "minimum_cases": 5, "maximum_bytes": 8}
    return leave(reply, log, EgressLimits(**(allowed | limits)), SPECS, sketch_rank=sketch_rank)


def lines_of(log: Path) -> list[dict[str, Any]]:
    """The lines of a log."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def reply_with(**changes: Any) -> Reply:
    """The reply with fields of its payload replaced."""
    return replace(REPLY, payload=replace(PAYLOAD, **changes))
