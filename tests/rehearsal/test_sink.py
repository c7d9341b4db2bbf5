import json
from pathlib import Path

from tests.rehearsal.sink import Sink, asked_name, dns_answer, read_calls

QUESTION = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03api\x06flower\x02ai\x00\x00\x01\x00\x01"


def test_the_name_in_a_question_is_read() -> None:
    assert asked_name(QUESTION) == ("api.flower.ai", 1)


def test_what_is_no_question_is_told_by_its_length() -> None:
    assert asked_name(b"hello") == ("5 bytes over UDP", 0)


def test_an_answer_repeats_the_question_and_ends_with_the_address() -> None:
    answer = dns_answer(QUESTION, "10.0.0.9")
    assert answer[:2] == QUESTION[:2]
    assert answer[12 : len(QUESTION)] == QUESTION[12:]
    assert answer[-4:] == bytes([10, 0, 0, 9])


def test_a_question_is_noted_and_answered_with_the_sinks_own_address(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl"
    sink = Sink(log, "10.0.0.9")
    assert sink.answer(QUESTION, "10.0.0.1")[-4:] == bytes([10, 0, 0, 9])
    assert read_calls(log) == [{"kind": "name", "from": "10.0.0.1", "what": "api.flower.ai"}]


def test_a_question_of_another_type_is_noted_and_gets_no_address(tmp_path: Path) -> None:
    """Type 28 asks for an IPv6 address: an answer without a record, so that the caller asks for IPv4."""
    question = QUESTION[:-4] + b"\x00\x1c\x00\x01"
    answer = Sink(tmp_path / "calls.jsonl", "10.0.0.9").answer(question, "10.0.0.1")
    assert (answer[6:8], answer[12:]) == (b"\0\0", question[12:])


def test_the_line_that_says_that_the_sink_listens_is_no_call(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl"
    assert read_calls(log) == []
    log.write_text(json.dumps({"kind": "ready", "from": "", "what": ""}) + "\n")
    assert read_calls(log) == []
