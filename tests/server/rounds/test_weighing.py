"""What centers weigh: agreed counts, and no more than the maximum share."""

from pathlib import Path

from server.rounds.weighing import agree, most_cases, weights_of
from server.study.history import RoundRecord
from tests.support.entered_study import enter
from tests.support.light_study import STUDY


def record(center: str, cases: int, error: str = "") -> RoundRecord:
    return RoundRecord("adapt", 1, center, error, support={"peft": cases})


def test_the_first_registration_in_a_study_is_what_counts(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    first = agree(entered.state, {"a": {"train": 4, "validation": 5}})
    later = agree(first, {"a": {"train": 10**9, "validation": 5}, "b": {"train": 9, "validation": 5}})
    assert later.agreed_cases == {"a": 4, "b": 9}
    assert agree(first, {"a": {"train": 4, "validation": 10**6}}).agreed_validation_cases == {"a": 5}
    found = weights_of([record("a", 10**9), record("b", 9)], entered.prepared.study, later)
    assert found == {"peft": {"a": 2.0, "b": 2.0}}


def test_the_study_file_has_the_last_word_on_a_center_and_its_numbers_may_weigh_more(tmp_path: Path) -> None:
    text = STUDY.replace("[centers.a]", "[centers.a]\ntraining_cases = 81")
    both = text.replace("[centers.b]", "[centers.b]\ntraining_cases = 9")
    entered, agreed = enter(tmp_path / "one", text), enter(tmp_path / "both", both)
    state = agree(entered.state, {"a": {"train": 100, "validation": 5}, "b": {"train": 9, "validation": 5}})
    assert most_cases(entered.prepared.study, state) == {"a": 81, "b": 9}
    records = [record("a", 100), record("b", 9)]
    assert weights_of(records, entered.prepared.study, state) == {"peft": {"a": 3.0, "b": 3.0}}
    assert weights_of(records, agreed.prepared.study, state) == {"peft": {"a": 9.0, "b": 3.0}}


def test_what_was_refused_weighs_nothing(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    assert weights_of([record("a", 4), record("b", 9, "norm")], entered.prepared.study, entered.state) == {
        "peft": {"a": 2.0}
    }
