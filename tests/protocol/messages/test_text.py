"""The text of a message: all of it but its tensors, checked when written and when read."""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from protocol.errors import PayloadError
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison
from protocol.messages.text import from_text, parse_json, to_text
from tests.support.messages import INSTRUCTION, PAYLOAD, REPLY, reply_json
from tests.support.segmentation_scores import dice_score


def changed(value: Any, **new: Any) -> Any:
    """`value` with fields that its type forbids."""
    return replace(value, **new)


@dataclass(frozen=True)
class TallerPayload(Payload):
    """A payload with one more field."""

    height: int = 0


def test_a_field_more_is_one_line() -> None:
    taller = from_text(TallerPayload, to_text(TallerPayload("hgj", "abc", "adapt", 3, height=7)))
    assert taller == TallerPayload("hgj", "abc", "adapt", 3, height=7)
    with pytest.raises(PayloadError, match="height: Field required"):
        from_text(TallerPayload, to_text(PAYLOAD))


def test_tensors_are_neither_in_the_text_nor_touched() -> None:
    """Two payloads of one text: arrays of another dtype and of no dtype at all."""
    odd: Any = {"a": np.ones(2, np.complex128), "b": object()}
    assert to_text(replace(PAYLOAD, tensors=odd)) == to_text(PAYLOAD)
    assert "tensors" not in json.loads(to_text(PAYLOAD))


def test_a_text_comes_back_without_its_tensors() -> None:
    assert from_text(Payload, to_text(PAYLOAD)) == replace(PAYLOAD, tensors={})
    assert from_text(Instruction, to_text(INSTRUCTION)) == replace(INSTRUCTION, tensors={})


def test_tensors_in_a_text_are_refused() -> None:
    text = json.dumps(json.loads(to_text(PAYLOAD)) | {"tensors": {"a": [1.0]}})
    with pytest.raises(PayloadError, match="tensors: Value error, tensors travel beside the text, never in it"):
        from_text(Payload, text)


def test_building_a_message_checks_nothing() -> None:
    """What is wrong is found when it is written, by name."""
    wrong = replace(REPLY, loss=float("nan"))
    with pytest.raises(PayloadError, match="reply of center 'hgj': 1 field"):
        to_text(wrong)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (changed(REPLY, loss=float("nan")), "loss"),
        (changed(REPLY, diagnostics={"gate/0/ct/mean": float("nan")}), r"diagnostics\.gate/0/ct/mean"),
        (
            changed(REPLY, diagnostics={"gate/0/ct/std": 0.6}),
            r"diagnostics: .*gate/0/ct/std' is not a number in \[0, 0",
        ),
        (changed(REPLY, scores={"ct": dice_score(3, float("inf"), None)}), r"scores\.ct\.values\.dice"),
        (changed(REPLY, facts={"cases": True}), r"facts\.cases"),
        (changed(REPLY, payload=changed(PAYLOAD, support={"peft": 1.5})), r"payload\.support\.peft"),
        (changed(REPLY, kind="spy"), "kind"),
        (changed(REPLY, comparison=Comparison(-1, None)), "comparison: .*cases is not a count"),
        (changed(REPLY, comparison=Comparison(3, 1.5)), r"comparison: .*difference is not a number in \[-1, 1\]"),
        (changed(REPLY, comparison=Comparison(3, 0.5, 1.5)), "comparison: .*standard_error is not a number"),
        (changed(REPLY, comparison=Comparison(3, float("nan"))), "comparison.difference"),
        (changed(REPLY, comparison=Comparison(3, 0.5, float("nan"))), "comparison.standard_error"),
        (changed(INSTRUCTION, statistics=("histogram",)), "statistics.0"),
        (changed(INSTRUCTION, server_round="3"), "server_round"),
    ],
)
def test_a_wrong_field_is_refused_before_it_travels(value: Any, field: str) -> None:
    with pytest.raises(PayloadError, match=field):
        to_text(value)


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"center": ...}, "center: Field required"),
        ({"seconds": "1.0"}, "seconds: Input should be a valid number"),
        ({"path": "/data"}, "path: Unexpected keyword argument"),
        ({"scores": {"ct": {"cases": 1, "dice": None, "hd95_mm": None, "names": 1}}}, "scores.ct.names: Unexpected"),
        ({"diagnostics": {"gate/0/mr/mean": 0.5}}, "diagnostics: .*'gate/0/mr/mean' is not in the table"),
        ({"diagnostics": ...}, "diagnostics: Field required"),
        (
            {"payload": {"center": "hgj", "backbone_hash": "", "stage": "", "server_round": 1}},
            "payload.phase: Field requ",
        ),
    ],
)
def test_a_text_not_as_agreed_is_refused_with_the_fields_name(changes: dict[str, Any], finding: str) -> None:
    with pytest.raises(PayloadError, match=finding):
        from_text(Reply, reply_json(**changes))


def test_a_missing_field_of_an_instruction_is_named() -> None:
    text = json.loads(to_text(INSTRUCTION))
    del text["settings"]["seed"]
    with pytest.raises(PayloadError, match=r"instruction.*\n  settings\.seed: Field required"):
        from_text(Instruction, json.dumps(text))


def test_a_refused_value_is_not_repeated_in_the_error() -> None:
    with pytest.raises(PayloadError) as caught:
        from_text(Reply, reply_json(seconds="DOE^JOHN"))
    assert "DOE" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("[" * 250 + "]" * 250, "recursion limit exceeded at line 1 column 202"),
        ("[" * 1_000_000, "recursion limit exceeded at line 1 column 202"),
        (b'{"a": "\xff"}', "invalid unicode code point at line 1 column 8"),
        ('{"a": ' + "9" * 5000 + "}", "number out of range"),
        ('{"secret": ]', "expected value at line 1 column 12"),
    ],
)
def test_a_strangers_text_that_is_no_json_is_refused_by_where_it_goes_wrong(text: str | bytes, finding: str) -> None:
    with pytest.raises(ValueError, match=finding) as caught:
        parse_json(text)
    assert "secret" not in str(caught.value)


def test_a_strangers_text_may_be_nested_as_deep_as_the_parser_goes() -> None:
    assert parse_json('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
    assert parse_json("[" * 200 + "]" * 200)
