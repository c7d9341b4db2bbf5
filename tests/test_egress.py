"""What leaves a center is on the allow-list and in the log, or it does not leave."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.egress import FACTS, answer, check_and_log, known_codes
from strategies.errors import CaseError, StorageError
from strategies.instruction import Instruction, Reply, Score
from strategies.payload import Payload
from strategies.settings import Model, StudySettings
from strategies.tensors import TensorSpec, content_hash

SPECS = (
    TensorSpec(key="a#lora_a", group="peft", shape=(1, 2)),
    TensorSpec(key="pet.weight", group="pet", shape=(2,)),
)
TENSORS = {"a#lora_a": np.array([[1, 2]], np.float32)}
PAYLOAD = Payload(
    center="a", backbone_hash="0" * 64, stage="adapt", server_round=3, tensors=TENSORS, support={"peft": 5}
)
REPLY = Reply(
    center="a",
    kind="train",
    payload=PAYLOAD,
    scores={"ct+pet": Score(cases=2, dice=0.7, hd95_mm=4.0)},
    loss=0.4,
    seconds=1.5,
    facts={"train_cases": 5, "modalities": "ct+pet"},
)
INSTRUCTION = Instruction(kind="train", settings=StudySettings(study="s", seed=0, model=Model(name="none")))


def _leave(reply: Reply, log: Path, **limits: Any) -> Reply:
    allowed: dict[str, Any] = {"owned_groups": ("peft",), "minimum_cases": 5, "maximum_bytes": 8}
    return check_and_log(reply, specs=SPECS, log=log, **(allowed | limits))


def _lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def _with(**changes: Any) -> Reply:
    return replace(REPLY, payload=replace(PAYLOAD, **changes))


def test_agreed_reply_leaves_unchanged_and_is_logged(tmp_path: Path) -> None:
    """Two float32 values are 8 bytes, the cap exactly; 5 cases stand behind them, the minimum exactly."""
    log = tmp_path / "logs" / "outgoing.jsonl"
    assert _leave(REPLY, log) is REPLY
    (line,) = _lines(log)
    assert line.pop("time").endswith("+00:00")
    assert len(line.pop("names_sha256")) == 64
    assert line == {
        "center": "a",
        "kind": "train",
        "error": "",
        "stage": "adapt",
        "server_round": 3,
        "tensors": 1,
        "bytes": 8,
        "support": {"peft": 5},
        "content_sha256": content_hash(TENSORS),
        "scores": {"ct+pet": {"cases": 2, "dice": 0.7, "hd95_mm": 4.0, "dice_undefined": 0, "hd95_undefined": 0}},
        "facts": {"train_cases": 5, "modalities": "ct+pet"},
        "held_back": [],
    }


@pytest.mark.parametrize(
    ("reply", "limits", "reason"),
    [
        (_with(tensors={"image": np.array([1], np.float32)}), {}, "tensor 'image' is not one of the study's 2"),
        (
            _with(tensors={"pet.weight": np.array([1, 2], np.float32)}, support={"pet": 9}),
            {},
            "tensor 'pet.weight' is of group 'pet', this center sends ['peft']",
        ),
        (
            _with(tensors={"a#lora_a": np.array([1, 2], np.float32)}),
            {},
            "tensor 'a#lora_a' has shape (2,), the study's is (1, 2)",
        ),
        (
            _with(tensors={"a#lora_a": np.array([[1, 2]], np.float64)}),
            {"maximum_bytes": 16},
            "tensor 'a#lora_a' is float64, expected float32",
        ),
        (
            _with(tensors={"a#lora_a": np.array([[1, np.nan]], np.float32)}),
            {},
            "tensor 'a#lora_a' holds a value that is not finite",
        ),
        (_with(support={"peft": 4}), {}, "tensors of group 'peft' stand on 4 case(s), this center sends from 5 on"),
        (_with(support={}), {}, "tensors of group 'peft' stand on 0 case(s), this center sends from 5 on"),
        (REPLY, {"maximum_bytes": 7}, "payload has 8 bytes, this center sends at most 7"),
        (_with(center="DOE"), {}, "payload is of center 'DOE', reply of 'a'"),
        (_with(backbone_hash="DOE^JOHN"), {}, "backbone_hash is not 64 hexadecimal digits"),
        (
            _with(support={"peft": 5, "DOE": 1}),
            {},
            "support of group 'DOE' is 1, expected a count for one of ['backbone', 'pet', 'peft']",
        ),
        (replace(REPLY, loss=float("inf")), {}, "loss is inf, expected a finite number"),
    ],
)
def test_what_is_not_agreed_stops_the_reply(tmp_path: Path, reply: Reply, limits: dict[str, Any], reason: str) -> None:
    """The coordinator sees a code; the one reason is in the log."""
    log = tmp_path / "outgoing.jsonl"
    assert _leave(reply, log, **limits) == Reply(center="a", kind="train", error="egress-refused")
    (line,) = _lines(log)
    assert line["held_back"] == [reason]
    assert (line["error"], line["tensors"], line["bytes"]) == ("egress-refused", 0, 0)


@pytest.mark.parametrize(
    "reply",
    [
        replace(REPLY, facts={"patient": "DOE^JOHN"}),
        replace(REPLY, facts={"modalities": "DOE^JOHN"}),
        replace(REPLY, facts={"train_cases": 5.0}),
        replace(REPLY, facts={"train_cases": True}),
        replace(REPLY, scores={"DOE": Score(cases=1, dice=0.5, hd95_mm=None)}),  # type: ignore[dict-item]
        replace(REPLY, scores={"ct": Score(cases=1, dice=20200101.0, hd95_mm=None)}),
        replace(REPLY, scores={"ct": Score(cases=-1, dice=0.5, hd95_mm=None)}),
        replace(REPLY, scores={"ct": Score(cases=1, dice=0.5, hd95_mm=float("nan"))}),
    ],
)
def test_unknown_fact_or_score_stops_the_reply(tmp_path: Path, reply: Reply) -> None:
    assert _leave(reply, tmp_path / "log").error == "egress-refused"
    assert len(_lines(tmp_path / "log")[0]["held_back"]) == 1


def test_all_reasons_are_found(tmp_path: Path) -> None:
    """One tensor unknown, one not finite, a cap exceeded, a fact unknown: four reasons."""
    tensors = {"image": np.array([1], np.float32), "a#lora_a": np.array([[1, np.inf]], np.float32)}
    _leave(replace(_with(tensors=tensors), facts={"patient": 1}), tmp_path / "log")
    assert len(_lines(tmp_path / "log")[0]["held_back"]) == 4


def test_error_travels_as_code_alone(tmp_path: Path) -> None:
    reply = replace(REPLY, error="cases")
    assert _leave(reply, tmp_path / "log") == Reply(center="a", kind="train", error="cases")


def test_error_text_becomes_internal(tmp_path: Path) -> None:
    reply = Reply(center="a", kind="train", error="cannot read /data/DOE^JOHN")
    assert _leave(reply, tmp_path / "log") == Reply(center="a", kind="train", error="internal")
    assert _lines(tmp_path / "log")[0]["held_back"] == ["error 'cannot read /data/DOE^JOHN' is not a known code"]


def test_known_codes_come_from_the_error_tree() -> None:
    assert {"failed", "cases", "model", "internal", "egress-refused", "unreadable"} <= known_codes()


def test_failed_log_keeps_the_reply_in(tmp_path: Path) -> None:
    """A folder stands where the log should be: the reply must not leave unlogged."""
    with pytest.raises(StorageError, match="nothing leaves until it can"):
        _leave(REPLY, tmp_path)


def test_log_keeps_earlier_lines(tmp_path: Path) -> None:
    for _ in range(3):
        _leave(REPLY, tmp_path / "log")
    assert len(_lines(tmp_path / "log")) == 3


@given(name=st.text(), value=st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text())
def test_no_fact_outside_the_table_leaves(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: float | str
) -> None:
    leaving = _leave(replace(REPLY, facts={name: value}), tmp_path_factory.mktemp("egress") / "log")
    assert leaving.error == "egress-refused" or name in FACTS


def test_answer_passes_a_reply_through() -> None:
    assert answer(lambda _: REPLY, INSTRUCTION) is REPLY


def test_answer_turns_our_errors_into_their_code(caplog: pytest.LogCaptureFixture) -> None:
    def perform(_: Instruction) -> Reply:
        raise CaseError("case DOE^JOHN has no CT")

    assert answer(perform, INSTRUCTION) == Reply(center="", kind="train", error="cases")
    assert "DOE^JOHN" in caplog.text


def test_answer_turns_other_errors_into_internal() -> None:
    def perform(_: Instruction) -> Reply:
        raise KeyError("DOE^JOHN")

    assert answer(perform, INSTRUCTION) == Reply(center="", kind="train", error="internal")
