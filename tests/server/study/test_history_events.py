"""A checkpoint tells the same events whenever it is asked."""

from server.study.checkpoint import Checkpoint
from server.study.history import GateRecord, History, QueryRecord, RollbackRecord, RoundRecord
from server.study.history_events import history_events
from strategies.continual.gate import Verdict


def test_who_was_used_and_who_was_left_out_of_each_round() -> None:
    rounds = (RoundRecord("s", 1, "b"), RoundRecord("s", 1, "a"), RoundRecord("s", 2, "a", error="norm"))
    events = history_events(Checkpoint(0, 2, "", {}, history=History(rounds), agreed_cases={"a": 5}))
    assert events["round"] == [
        {"stage": "s", "server_round": 1, "used": ["a", "b"], "refused": {}},
        {"stage": "s", "server_round": 2, "used": [], "refused": {"a": "norm"}},
    ]
    assert events["registered"] == [{"center": "a", "train_cases": 5, "validation_cases": None}]


def test_decisions_and_rounds_that_were_undone() -> None:
    verdict = Verdict(promoted=False, worst=("a", -0.2), mean=-0.1, lower_bound=-0.3, reason="harm")
    history = History(gates=(GateRecord("s", verdict, branches=("b",)),), rollbacks=(RollbackRecord("s", 4, 2),))
    events = history_events(Checkpoint(0, 4, "", {}, history=history))
    assert events["undone"] == [{"stage": "s", "server_round": 4, "restored_round": 2}]
    (gate,) = events["gate"]
    assert (gate["promoted"], gate["branches"], gate["reason"]) == (False, ["b"], "harm")


def test_an_observation_that_was_taken_is_told_once_however_often_it_was_asked_for() -> None:
    """What was refused, or asked for another reason, is not."""
    taken = QueryRecord("s", "observe", "a")
    others = (QueryRecord("s", "observe", "b", error="fingerprint"), QueryRecord("s", "compare", "b"))
    events = history_events(Checkpoint(0, 2, "", {}, history=History(queries=(taken, taken, *others))))
    assert events["observed"] == [{"stage": "s", "center": "a"}]
