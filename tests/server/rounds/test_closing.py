"""The steps that close a stage, from answers written by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protocol.messages.payload import Payload, frozen_hash
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison
from server.grid.center_answer import CenterAnswer
from server.rounds.closing import (
    check_observation,
    observations,
    observe,
    record_queries,
    remember,
    score,
    statistics_of,
)
from strategies.continual.terms import TERMS
from strategies.strategy import Strategy
from tests.support.entered_study import enter
from tests.support.segmentation_scores import dice_score


def compared(center: str) -> CenterAnswer:
    return CenterAnswer(Reply(center, "compare", comparison=Comparison(5, 0.1, 0.0)), 7, 3)


def test_nothing_to_observe_asks_nobody_and_changes_only_what_is_done(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    assert observations(entered.state, entered.builder, (), ("a", "b")) == {}
    assert observe(entered.state, entered.builder, {}) == replace(entered.state, done=("observe",))


@pytest.mark.parametrize("name", [name for name, term in TERMS.items() if term.remembers])
def test_what_a_term_has_observed_is_remembered(name: str) -> None:
    """Three centers with as many cases, one of which sees nothing: two thirds of the squares or values stay.

    What is kept of each center is the size of what it observed; the sum holds one stage.
    """
    strategy = Strategy.model_validate({"terms": {name: 1.0}})
    (statistic,) = statistics_of(strategy)
    key = f"qkv@{statistic}"

    def observed(center: str, value: float, cases: int) -> CenterAnswer:
        tensors = {key: np.full((1, 1), value, np.float32)}
        payload = Payload(center, "", "adapt", 1, tensors, support={statistic: cases})
        return CenterAnswer(Reply(center, "observe", payload=payload))

    memory, own = remember({}, {}, {c: observed(c, value, 6) for c, value in (("a", 1), ("b", 0), ("c", 1))}, strategy)
    assert float(memory[key].sum()) == pytest.approx({"gram": (2 / 3) ** 0.5, "fisher": 2 / 3}[statistic])
    assert float(memory[key + "-mass"].item()) == 1
    assert {center: kept[key + "-size"].tolist() for center, kept in own.items()} == {"a": [1], "b": [0], "c": [1]}


@pytest.mark.parametrize(("scale", "most"), [(1e6, 1.5), (3e38, 1.5)], ids=["a million times", "the largest float32"])
def test_a_gram_that_stands_out_counts_no_more_than_twice_the_others(scale: float, most: float) -> None:
    """Of four centers with trace 1, one sends `scale`: the memory's trace is at most 1.25, or the answer is refused."""
    strategy = Strategy.model_validate({"terms": {"gram_anchor": 1.0}})
    answers = {c: observed_gram(c, 1.0) for c in "abc"} | {"liar": observed_gram("liar", scale)}
    memory, own = remember({}, {}, answers, strategy)
    trace = float(np.square(memory["qkv@gram"].astype(np.float64)).sum())
    assert trace == pytest.approx(0.75 * 1 + 0.25 * 2, rel=1e-5)
    assert trace < most
    assert own["liar"]["qkv@gram-size"].tolist() == pytest.approx([2.0])


def test_a_memory_counts_no_more_cases_of_a_center_than_were_agreed() -> None:
    """Of traces 1, 1 and 2 with 6 cases each, the third counts 3: (6 + 6 + 3 * 2) / 15."""
    strategy = Strategy.model_validate({"terms": {"gram_anchor": 1.0}})
    answers = {center: observed_gram(center, trace) for center, trace in (("a", 1.0), ("b", 1.0), ("c", 2.0))}
    memory, _ = remember({}, {}, answers, strategy, {"c": 3})
    assert float(np.square(memory["qkv@gram"].astype(np.float64)).sum()) == pytest.approx(18 / 15, rel=1e-5)


def test_two_of_eight_that_agreed_on_a_million_cases_weigh_in_a_memory_as_four_others_each() -> None:
    """Of six traces of 1 and two of 2: (6 + 8 * 2) / (6 + 8); nearly 2 where the study file names the counts."""
    strategy = Strategy.model_validate({"terms": {"gram_anchor": 1.0}})
    answers = {center: observed_gram(center, 1.0) for center in "abcdef"}
    answers |= {center: observed_gram(center, 2.0, 10**6) for center in "xy"}
    for named, trace in (((), 22 / 14), ("xy", 2.0)):
        memory, _ = remember({}, {}, answers, strategy, {"x": 10**6, "y": 10**6}, named)
        assert float(np.square(memory["qkv@gram"].astype(np.float64)).sum()) == pytest.approx(trace, rel=1e-4)


def test_what_nobody_asked_for_is_not_remembered() -> None:
    strategy = Strategy.model_validate({"terms": {"ewc": 1.0}})
    assert remember({}, {}, {"a": observed_gram("a", 1.0)}, strategy) == ({}, {})


def test_an_observation_that_no_network_gives_becomes_an_error(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    tensors = {"features.ct@mean": np.full(1, 3e38, np.float32), "features.ct@scatter": np.ones((1, 1), np.float32)}
    state, stage = entered.state, entered.builder.stage
    received = entered.builder.to_train(state, "a")
    payload = Payload(
        "a",
        state.backbone_hash,
        stage.name,
        state.server_round,
        tensors,
        support={"features.ct": 5},
        frozen_hash=frozen_hash(received, received, ()),
    )
    checked = check_observation(CenterAnswer(Reply("a", "observe", payload=payload)), state, entered.builder, 5)
    assert (checked.reply.payload, checked.reply.error) == (None, "payload")


def test_centers_of_earlier_stages_are_peers_too() -> None:
    """A liar alone in the third stage is held against the two that came before it."""
    strategy = Strategy.model_validate({"terms": {"gram_anchor": 1.0}, "decay": 1.0})
    memory, own = remember({}, {}, {"a": observed_gram("a", 1.0)}, strategy)
    memory, own = remember(memory, own, {"b": observed_gram("b", 1.0)}, strategy)
    memory, own = remember(memory, own, {"liar": observed_gram("liar", 1e12)}, strategy)
    assert float(np.square(memory["qkv@gram"].astype(np.float64)).sum()) == pytest.approx(1 + 1 + 2, rel=1e-5)
    assert memory["qkv@gram-mass"].tolist() == [3]


def observed_gram(center: str, trace: float, cases: int = 6) -> CenterAnswer:
    tensors = {"qkv@gram": np.full((1, 1), trace**0.5, np.float32)}
    payload = Payload(center, "", "adapt", 1, tensors, support={"gram": cases})
    return CenterAnswer(Reply(center, "observe", payload=payload))


def test_an_observation_of_another_round_becomes_an_error_and_still_weighs(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    payload = Payload("a", entered.state.backbone_hash, "adapt", 9, {"qkv@gram": np.ones((2, 4), np.float32)})
    answer = CenterAnswer(Reply("a", "observe", payload=payload), 1, 32)
    checked = check_observation(answer, entered.state, entered.builder, 5)
    assert checked.reply.payload is None
    assert checked.reply.error
    assert checked.bytes_up == 32


def test_a_row_of_the_matrix_keeps_failed_and_silent_centers_apart() -> None:
    answers = {
        "a": CenterAnswer(Reply("a", "evaluate", scores={"ct": dice_score(3, 0.5, 2.0)}, seconds=4.0), 8),
        "b": CenterAnswer(Reply("b", "evaluate", error="internal"), 8),
        "c": CenterAnswer(Reply("c", "evaluate", error="no-answer")),
    }
    row = score("adapt", answers)
    assert row.test == {"a": {"ct": dice_score(3, 0.5, 2.0)}, "b": {}}
    assert row.errors == {"b": "internal", "c": "no-answer"}
    assert (row.bytes_down, row.seconds["a"]) == ({"a": 8, "b": 8, "c": 0}, 4.0)


def test_queries_are_recorded_in_the_order_of_the_answers(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    state = record_queries(entered.state, entered.builder.stage, {"b": compared("b"), "a": compared("a")})
    assert [(query.stage, query.kind, query.center) for query in state.history.queries] == [
        ("adapt", "compare", "b"),
        ("adapt", "compare", "a"),
    ]


def test_an_observation_that_cannot_be_handled_costs_its_center_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OverflowError("too large")

    entered = enter(tmp_path)
    monkeypatch.setattr("server.rounds.closing.validate", fail)
    payload = Payload("a", entered.state.backbone_hash, "adapt", 0, {"qkv#lora_b@fisher": np.ones((4, 2), np.float32)})
    answer = CenterAnswer(Reply("a", "observe", payload=payload), 3, 32)
    checked = check_observation(answer, entered.state, entered.builder, 5)
    assert checked == CenterAnswer(Reply("a", "observe", error="unreadable"), 3, 32)
    assert "center 'a': its reply cannot be taken for an observation: OverflowError (too large)" in caplog.text
