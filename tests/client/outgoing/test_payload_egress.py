"""Tensors leave a center only as agreed, and on enough cases."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.outgoing.payload_egress import unasked_findings
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.settings import Model, StudySettings, Training
from protocol.messages.tensors import TensorSpec
from tests.support.leaving import (
    REPLY,
    TENSORS,
    lines_of,
    reply_with,
    send,
)

GROUPS_AND_STATISTICS = [
    "backbone",
    "pet",
    "fusion",
    "ehr",
    "head",
    "peft",
    "center",
    "norm",
    *(f"{group}.{bank}" for group in ("peft", "center") for bank in ("ct", "pet", "fusion")),
    "gram",
    "fisher",
    "features.ct",
    "features.pet",
]


@pytest.mark.parametrize(
    ("reply", "limits", "reason"),
    [
        (reply_with(tensors={"image": np.array([1], np.float32)}), {}, "tensor 'image' is not one of the study's 5"),
        (
            reply_with(tensors={"pet.weight": np.array([1, 2], np.float32)}, support={"pet": 9}),
            {},
            "tensor 'pet.weight' is of group 'pet', this center sends ['peft']",
        ),
        (
            reply_with(tensors={"a#lora_a": np.array([1, 2], np.float32)}),
            {},
            "tensor 'a#lora_a' has shape (2,), the study's is (1, 2)",
        ),
        (
            reply_with(tensors={"a#lora_a": np.array([[1, 2]], np.float64)}),
            {"maximum_bytes": 16},
            "tensor 'a#lora_a' is float64, expected float32",
        ),
        (
            reply_with(tensors={"a#lora_a": np.array([[1, np.nan]], np.float32)}),
            {},
            "tensor 'a#lora_a' holds a value that is not finite",
        ),
        (
            reply_with(support={"peft": 4}),
            {},
            "tensors of group 'peft' stand on 4 case(s), this center sends from 5 on",
        ),
        (reply_with(support={}), {}, "tensors of group 'peft' stand on 0 case(s), this center sends from 5 on"),
        (REPLY, {"maximum_bytes": 7}, "payload has 8 bytes, this center sends at most 7"),
        (reply_with(center="DOE"), {}, "payload is of center 'DOE', reply of 'a'"),
        (reply_with(backbone_hash="DOE^JOHN"), {}, "backbone_hash is not 64 hexadecimal digits"),
        (
            reply_with(support={"peft": 5, "DOE": 1}),
            {},
            f"support of group 'DOE' is 1, expected a count for one of {GROUPS_AND_STATISTICS}",
        ),
        (reply_with(frozen_hash="DOE^JOHN"), {}, "frozen_hash is not 64 hexadecimal digits"),
        (reply_with(phase="lora_b+DOE"), {}, "phase names something else than ['lora_a', 'lora_b', 'magnitude']"),
    ],
)
def test_tensors_not_as_agreed_stop_the_reply(
    tmp_path: Path, reply: Reply, limits: dict[str, Any], reason: str
) -> None:
    """The coordinator sees a code; the one reason is in the log."""
    log = tmp_path / "outgoing.jsonl"
    assert send(reply, log, **limits) == Reply(center="a", kind="train", error="egress-refused")
    (line,) = lines_of(log)
    assert line["held_back"] == [reason]
    assert (line["error"], line["tensors"], line["bytes"]) == ("egress-refused", 0, 0)


def _sends(key: str, shape: tuple[int, ...], **support: int) -> Reply:
    """The reply with one more tensor of ones and what stands behind it."""
    tensors = {**TENSORS, key: np.ones(shape, np.float32)}
    return reply_with(tensors=tensors, support={"peft": 5} | {name.replace("_", "."): n for name, n in support.items()})


ALL: dict[str, Any] = {"owned_groups": ("pet", "peft", "center", "norm"), "maximum_bytes": 1 << 30, "sketch_rank": 3}


@pytest.mark.parametrize(
    "reply",
    [
        reply_with(phase="lora_b+magnitude", frozen_hash="f" * 64),
        _sends("a#center_a", (1, 2), center=5),
        _sends("norm#norm_bias", (2,), norm=5),
        _sends("a#lora_a@control", (1, 2)),
        _sends("a#lora_a@own", (1, 2)),
        _sends("a#lora_a@fisher", (1, 2), fisher=5),
        _sends("a@gram", (3, 2), gram=5),
        _sends("a@gram", (1, 2), gram=5),
        _sends("conv@gram", (3, 54), gram=5),
        _sends("features.ct@mean", (7,), features_ct=5),
        _sends("features.ct@scatter", (7, 7), features_ct=5),
        _sends("features.pet@mean", (1029,), features_pet=5),
    ],
)
def test_agreed_groups_and_statistics_leave(tmp_path: Path, reply: Reply) -> None:
    """A convolution of 2 channels and 3 x 3 x 3 voxels has 54 inputs."""
    log = tmp_path / "log"
    assert send(reply, log, **ALL) == reply
    assert reply.payload is not None
    names = {key.partition("@")[2] for key in reply.payload.tensors} - {""}
    assert lines_of(log)[0]["statistics"] == sorted(names)


@pytest.mark.parametrize(
    ("reply", "limits", "reason"),
    [
        (_sends("a#lora_a@moment", (1, 2)), {}, "tensor 'a#lora_a@moment' is not one of the study's 5"),
        (_sends("b#lora_a@control", (1, 2)), {}, "tensor 'b#lora_a@control' is not one of the study's 5"),
        (_sends("pet.weight@gram", (1, 2), gram=5), {}, "tensor 'pet.weight@gram' is not one of the study's 5"),
        (_sends("features.mr@mean", (7,)), {}, "tensor 'features.mr@mean' is not one of the study's 5"),
        (_sends("a#lora_a@own@control", (1, 2)), {}, "tensor 'a#lora_a@own@control' is not one of the study's 5"),
        (_sends("a#lora_a@own", (2, 1)), {}, "tensor 'a#lora_a@own' has shape (2, 1), the study's is (1, 2)"),
        (_sends("a@gram", (4, 2), gram=5), {}, "tensor 'a@gram' has shape (4, 2), the study's is (3, 2)"),
        (_sends("a@gram", (3, 3), gram=5), {}, "tensor 'a@gram' has shape (3, 3), the study's is (3, 2)"),
        (
            _sends("features.ct@mean", (1030,), features_ct=5),
            {},
            "tensor 'features.ct@mean' has shape (1030,), the study's is (1029,)",
        ),
        (
            _sends("features.ct@scatter", (7, 6), features_ct=5),
            {},
            "tensor 'features.ct@scatter' has shape (7, 6), the study's is (7, 7)",
        ),
        (
            _sends("features.pet@mean", (7,), features_pet=5),
            {"owned_groups": ("peft",)},
            "tensor 'features.pet@mean' is of group 'pet', this center sends ['peft']",
        ),
        (
            _sends("pet.weight@fisher", (2,), fisher=5),
            {"owned_groups": ("peft",)},
            "tensor 'pet.weight@fisher' is of group 'pet', this center sends ['peft']",
        ),
        (
            _sends("a@gram", (3, 2), gram=4),
            {},
            "tensors of group 'gram' stand on 4 case(s), this center sends from 5 on",
        ),
        (
            _sends("features.ct@mean", (7,)),
            {},
            "tensors of group 'features.ct' stand on 0 case(s), this center sends from 5 on",
        ),
    ],
)
def test_other_statistics_stop_the_reply(tmp_path: Path, reply: Reply, limits: dict[str, Any], reason: str) -> None:
    log = tmp_path / "log"
    assert send(reply, log, **(ALL | limits)) == Reply(center="a", kind="train", error="egress-refused")
    assert lines_of(log)[0]["held_back"] == [reason]


def test_a_statistic_that_is_not_finite_stops_the_reply(tmp_path: Path) -> None:
    reply = reply_with(tensors={"a@gram": np.array([[1, np.inf]], np.float32)}, support={"gram": 5})
    assert send(reply, tmp_path / "log", **ALL).error == "egress-refused"


PLAIN = Training(groups=("peft",), roles=("lora_a",), local_steps=1, learning_rate=1, modality_shares={"ct": 1})
CONTROLLED = PLAIN.model_copy(update={"terms": {"scaffold": True}})
SETTINGS = StudySettings(study="s", seed=1, model=Model(name="none"))
KNOWN = [TensorSpec(key, group, (1,)) for key, group in (("m#lora_a", "peft"), ("m#lora_b", "peft"), ("w", "backbone"))]


def unasked(kind: Kind, key: str, training: Training | None = None, planned: Training | None = None) -> bool:
    instruction = Instruction(kind, SETTINGS, training=training, statistics=("gram",) if kind == "observe" else ())
    payload = Payload("north", "", "adapt", 1, {key: np.zeros(1, np.float32)})
    return bool(list(unasked_findings(payload, instruction, planned, KNOWN)))


@pytest.mark.parametrize(
    ("kind", "key", "training", "planned", "stays"),
    [
        ("train", "m#lora_a", PLAIN, None, False),
        ("train", "m#lora_b", PLAIN, None, True),
        ("train", "w", PLAIN, None, True),
        ("train", "m#lora_a@control", PLAIN, None, True),
        ("train", "m#lora_a@control", CONTROLLED, None, False),
        ("train", "m@gram", CONTROLLED, None, True),
        ("train", "w", PLAIN.model_copy(update={"groups": ("backbone",)}), PLAIN, True),
        ("collect", "w", None, PLAIN, True),
        ("collect", "m#lora_a", None, PLAIN, False),
        ("collect", "w", None, None, False),
        ("observe", "m@gram", None, None, False),
        ("observe", "m#lora_a@fisher", None, None, True),
        ("observe", "features.ct@mean", None, None, True),
        ("observe", "m#lora_a", None, None, True),
        ("evaluate", "m#lora_a", None, None, True),
        ("register", "features.ct@mean", None, None, True),
    ],
)
def test_what_was_not_asked_for_stays(
    kind: Kind, key: str, training: Training | None, planned: Training | None, stays: bool
) -> None:
    assert unasked(kind, key, training, planned) is stays
