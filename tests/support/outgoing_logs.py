"""What left a center in four messages, as its two logs have it."""

import json
from pathlib import Path

import numpy as np

from client.outgoing.payload_egress import EgressLimits
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.settings import Model, StudySettings
from protocol.messages.tensors import TensorSpec
from protocol.storage.chain import append_line, head_path
from tests.support.leaving import leave
from tests.support.segmentation_scores import dice_score

SETTINGS = StudySettings(study="demo", seed=0, model=Model(name="none"))


TRAIN = Instruction("train", SETTINGS, "adapt", 3)


TENSORS = {"a#lora_a": np.array([[1, 2]], np.float32)}


TRAINED = Reply("a", "train", payload=Payload("a", "0" * 64, "adapt", 3, TENSORS, {"peft": 5}), loss=0.5)


SCORED = Reply("a", "evaluate", scores={"ct": dice_score(4, 0.5, None), "pet": dice_score(9, 0.5, None)})


def send(reply: Reply, log: Path, instruction: Instruction | None = None, *, again: bool = False) -> None:
    """Let a reply pass the center's checks."""
    specs = (TensorSpec("a#lora_a", "peft", (1, 2)),)
    leave(reply, log, EgressLimits(("peft",), 5, 99), specs, instruction=instruction, again=again)


def at(log: Path, *times: str) -> None:
    """Write the lines of a log anew, chained, at other times."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for path in (log, head_path(log)):
        path.unlink()
    for line, time in zip(lines, times, strict=True):
        append_line(log, {**line, "time": f"2026-01-0{time}+00:00"})


def write_logs(folder: Path) -> Path:
    """A train reply of round 3, sent twice; a code of the ClientApp between them; scores with one withheld."""
    trainer, node = folder / "trainer" / "outgoing.jsonl", folder / "node" / "outgoing.jsonl"
    send(TRAINED, trainer)
    send(TRAINED, trainer, again=True)
    send(SCORED, trainer, TRAIN)
    send(Reply("", "train", error="failed"), node, TRAIN)
    at(trainer, "1T10:00:00", "3T10:00:00", "4T10:00:00")
    at(node, "2T10:00:00")
    return folder
