"""The text of a history is that of all its records, and each is put into words once."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from server.study import history_text
from server.study.history import GateRecord, History, LateRecord, QueryRecord, RollbackRecord, RoundRecord, StageRow
from server.study.history_text import HistoryText
from strategies.continual.gate import Verdict
from tests.support.segmentation_scores import dice_score


def record(number: int, center: str = "a") -> RoundRecord:
    scores = {"ct": dice_score(3, 0.25, None, 0, 3)}
    return RoundRecord("s", number, center, loss=float("nan"), validation=scores, support={"peft": 3})  # type: ignore[arg-type]


def test_every_kind_of_record_is_as_json_has_it() -> None:
    verdict = Verdict(promoted=True, worst=("a", -0.2), mean=0.1, lower_bound=None, reason="none loses")
    history = History(
        rounds=(record(1), record(1, "b")),
        rows=(StageRow("s", {"a": {"ct": dice_score(3, 0.5, 2.0)}}),),
        gates=(GateRecord("s", verdict),),
        queries=(QueryRecord("s", "compare", "a"),),
        late=(LateRecord("s", 1, "b", 2, "set-aside", "ab"),),
        rollbacks=(RollbackRecord("s", 2, 1, {"a": 0.5}),),
    )
    assert HistoryText().of(history) == json.dumps(asdict(history))
    assert HistoryText().of(History()) == json.dumps(asdict(History()))


def test_a_history_that_grows_or_goes_another_way_has_the_text_of_its_records() -> None:
    text, history = HistoryText(), History()
    for number in (1, 2, 3):
        history = replace(history, rounds=(*history.rounds, record(number)))
        assert text.of(history) == json.dumps(asdict(history))
    assert text.of(history) == json.dumps(asdict(history))
    other = History(rounds=(record(1, "b"), record(2, "b"), record(3, "b"), record(4, "b")))
    assert text.of(other) == json.dumps(asdict(other))
    assert text.of(History()) == json.dumps(asdict(History()))


def test_a_record_is_put_into_words_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of fifty rounds two records each, not 2550."""
    made: list[int] = []
    words = history_text._words

    def count(history: History) -> Any:
        made.append(len(history.rounds))
        return words(history)

    monkeypatch.setattr(history_text, "_words", count)
    text, history = HistoryText(), History()
    for number in range(50):
        history = replace(history, rounds=(*history.rounds, record(number), record(number, "b")))
        text.of(history)
    assert made == [2] * 50
