"""Whom the gate asks and what becomes of the answers, written by hand."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import NoVoiceError, QuorumError
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison
from protocol.messages.suppression import Suppressed
from protocol.messages.tensors import BACKBONE, Tensors, role_of
from server.grid.center_answer import CenterAnswer
from server.rounds.gate_step import comparisons, run_gate
from server.rounds.instructions import InstructionBuilder
from server.rounds.study_run import FRESH
from server.rounds.transitions import enter_stage
from server.study.checkpoint import Checkpoint
from server.study.directory import read_prepared
from strategies.bank.bank import AdapterBank
from tests.support.light_study import STUDY, light
from tests.support.study_text import centers_text, stage_text

HEAD = STUDY.partition("\n[centers.a]")[0].replace("gate = false\n", "")
PAIR = HEAD + centers_text("ab") + stage_text("adapt", "ab", kind="arrive")
GROWING = (
    HEAD + centers_text("abcde") + stage_text("adapt", "abc") + stage_text("arrive", "de", kind="arrive", rounds=1)
)
PRETRAINED = HEAD + centers_text("abc") + stage_text("pretrain", "abc", kind="pretrain")
REGISTERED = dict.fromkeys("abcde", 5)


@dataclass(frozen=True)
class Closing:
    """The end of a stage's rounds, whose candidate differs from what was accepted."""

    state: Checkpoint
    builder: InstructionBuilder

    def decide(self, told: "dict[str, float | str | None]", gone: "tuple[str, ...]" = ()) -> Checkpoint:
        """The state after what each center told: a difference, None where it cannot judge, or an error's code.

        "withheld" stands for a comparison that its center holds back.
        """
        answers = {center: answer(center, said) for center, said in told.items()}
        return run_gate(self.state, self.builder, answers, registered=REGISTERED, gone=gone)


def answer(center: str, said: float | str | None) -> CenterAnswer:
    if said == "withheld":
        return CenterAnswer(Reply(center, "compare", suppressed=Suppressed(parts=("comparison",))))
    if isinstance(said, str):
        return CenterAnswer(Reply(center, "compare", error=said))
    comparison = None if said is None else Comparison(5, said, 0.001)
    return CenterAnswer(Reply(center, "compare", comparison=comparison), 7, 3)


def at_the_end_of(folder: Path, text: str, index: int = 0, **changes: object) -> Closing:
    prepared = read_prepared(light(folder, text).root)
    bank = AdapterBank.create(folder / "bank", prepared.study.settings, prepared.adapter_config)
    stage = prepared.study.stages[index]
    begun = replace(FRESH, shared={}, stage_index=index)
    entered = enter_stage(begun, stage, prepared, bank)
    backbone = {} if BACKBONE in stage.trained else bank.backbone(entered.backbone_hash)
    candidate = replace(entered, shared=moved(entered.shared), **changes)  # type: ignore[arg-type]
    return Closing(candidate, InstructionBuilder(prepared, stage, backbone))


def moved(tensors: Tensors, by: float = 0.5) -> "dict[str, np.ndarray]":
    return {key: array + np.float32(by) * (role_of(key) != "lora_a") for key, array in tensors.items()}


def same(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def test_without_a_gate_nobody_is_asked_and_the_step_is_done(tmp_path: Path) -> None:
    found = at_the_end_of(tmp_path, STUDY)
    assert comparisons(found.state, found.builder) == {}
    assert found.decide({}) == replace(found.state, done=("gate",))


def test_the_gate_asks_all_centers_of_the_stage(tmp_path: Path) -> None:
    found = at_the_end_of(tmp_path, PAIR)
    asked = comparisons(found.state, found.builder)
    assert {center: instruction.kind for center, instruction in asked.items()} == {"a": "compare", "b": "compare"}


def test_the_gate_asks_earlier_centers_too_those_with_a_branch_included(tmp_path: Path) -> None:
    found = at_the_end_of(tmp_path, GROWING, 1)
    branched = replace(found.state, branches={"b": found.state.accepted})
    assert list(comparisons(branched, found.builder)) == ["a", "b", "c", "d", "e"]


def test_a_candidate_that_nobody_is_harmed_by_is_promoted_and_the_answers_are_counted(tmp_path: Path) -> None:
    state = at_the_end_of(tmp_path, PAIR).decide({"a": 0.1, "b": 0.1})
    (record,) = state.history.gates
    assert (record.verdict.promoted, record.branches, record.kept, state.done) == (True, (), (), ("gate",))
    assert [(query.center, query.bytes_down, query.bytes_up) for query in state.history.queries] == [
        ("a", 7, 3),
        ("b", 7, 3),
    ]


def test_a_candidate_that_harms_one_of_two_stays_with_the_other(tmp_path: Path) -> None:
    state = at_the_end_of(tmp_path, PAIR).decide({"a": -0.3, "b": 0.1})
    (record,) = state.history.gates
    assert (record.verdict.promoted, record.branches, list(state.branches)) == (False, ("b",), ["b"])


def test_one_voice_of_five_neither_refuses_nor_is_harmed(tmp_path: Path) -> None:
    """Whether a lies or not: it keeps what it had, and all others get the candidate."""
    found = at_the_end_of(tmp_path, GROWING, 1)
    state = found.decide({"a": -1.0, "b": 0.05, "c": 0.05, "d": 0.05, "e": 0.05})
    assert same(state.shared, found.state.shared)
    assert same(state.branches["a"], found.state.accepted)
    assert (list(state.branches), state.history.gates[-1].kept) == (["a"], ("a",))
    assert same(found.builder.to_serve(state, "a"), found.state.accepted)


def test_who_is_away_keeps_what_it_was_served_until_it_is_heard(tmp_path: Path) -> None:
    found = at_the_end_of(tmp_path, GROWING, 1)
    state = found.decide({"a": "no-answer", "b": 0.05, "c": 0.05, "d": 0.05, "e": 0.05})
    record = state.history.gates[-1]
    assert (record.verdict.promoted, record.verdict.provisional, record.kept) == (True, True, ("a",))
    assert same(found.builder.to_serve(state, "a"), found.state.accepted)
    later = replace(state, shared=moved(state.shared), accepted=state.shared)
    told = {center: answer(center, 0.05) for center in "abcde"}
    back = run_gate(later, found.builder, told, registered=REGISTERED)
    assert (list(back.branches), same(found.builder.to_serve(back, "a"), later.shared)) == ([], True)


def test_one_with_a_branch_comes_back_only_to_what_serves_it_as_well(tmp_path: Path) -> None:
    found = at_the_end_of(tmp_path, GROWING, 1)
    branched = replace(found, state=replace(found.state, branches={"a": found.state.accepted}))
    others = dict.fromkeys("bcde", 0.05)
    assert list(branched.decide({"a": -0.02, **others}).branches) == ["a"]
    assert list(branched.decide({"a": "no-answer", **others}).branches) == ["a"]
    assert list(branched.decide({"a": -0.005, **others}).branches) == []


def test_praise_promotes_nothing_while_honest_centers_are_away(tmp_path: Path) -> None:
    found = at_the_end_of(tmp_path, GROWING, 1)
    with pytest.raises(QuorumError, match=r"earlier center\(s\) \['a', 'b'\] could not be asked .*'a': 'no-answer'"):
        found.decide({"a": "no-answer", "b": "internal", "c": 1.0, "d": 1.0, "e": 1.0})
    state = found.decide({"a": "revoked", "b": 0.0, "c": 0.0, "d": 0.0, "e": 0.0}, gone=("a",))
    assert state.history.gates[-1].kept == ("a",)


@pytest.mark.parametrize("code", ["queries-spent", "too-few", "other-study", "leak"])
def test_an_earlier_center_that_may_not_answer_is_not_waited_for(code: str, tmp_path: Path) -> None:
    """Neither does it keep what it had: it follows, as one with too few cases does."""
    found = at_the_end_of(tmp_path, GROWING, 1)
    state = found.decide({**dict.fromkeys("abc", code), "d": 0.05, "e": 0.05})
    record = state.history.gates[-1]
    assert (record.verdict.promoted, record.verdict.provisional, record.kept) == (True, True, ())
    assert record.verdict.unheard == ("a", "b", "c")
    assert [query.error for query in state.history.queries if query.center == "a"] == [code]


def test_a_lone_voice_of_three_that_trained_does_not_decide(tmp_path: Path) -> None:
    """The light study has a quorum of one; without it two of three are needed, as in a round."""
    text = (HEAD + centers_text("abc") + stage_text("adapt", "abc")).replace("quorum = 1\n", "")
    found = at_the_end_of(tmp_path, text)
    with pytest.raises(QuorumError, match=r"1 of 3 center\(s\) of the stage compared the candidate, 2 are needed"):
        found.decide({"a": "no-answer", "b": "no-answer", "c": 1.0})
    assert found.decide({"a": None, "b": None, "c": 1.0}).history.gates[-1].verdict.promoted is True


def test_a_center_counts_with_the_cases_it_registered_with(tmp_path: Path) -> None:
    state = at_the_end_of(tmp_path, PAIR).decide({"a": 0.1, "b": 0.1})
    assert state.history.gates[-1].verdict.weights == {"a": 0.5, "b": 0.5}


def test_a_gate_that_hears_nobody_stops_the_study_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(QuorumError, match=r"'a': 'no-answer', 'b': 'no case to compare'"):
        at_the_end_of(tmp_path, PAIR).decide({"a": "no-answer", "b": None})


def test_a_gate_that_hears_nobody_names_who_withholds_beside_who_is_away(tmp_path: Path) -> None:
    with pytest.raises(QuorumError, match=r"'b': 'comparison withheld'.*resume when .*\. b withhold.*--minimum-cases"):
        at_the_end_of(tmp_path, PAIR).decide({"a": "no-answer", "b": "withheld"})


def test_a_gate_on_which_all_withhold_waits_for_nobody_and_names_the_remedy(tmp_path: Path) -> None:
    """Eight cases split 5/1/2 and a minimum of 5: what time does not heal is not retried."""
    with pytest.raises(NoVoiceError, match=r"no center can judge .*a, b withhold.*--minimum-cases"):
        at_the_end_of(tmp_path, PAIR).decide({"a": "withheld", "b": "withheld"})


def test_who_may_never_answer_is_not_waited_for_either(tmp_path: Path) -> None:
    found = at_the_end_of(tmp_path, PAIR)
    for told, gone in (({"a": "too-few", "b": None}, ()), ({"a": "revoked", "b": None}, ("a",))):
        with pytest.raises(NoVoiceError, match="asking again changes nothing"):
            found.decide(told, gone)  # type: ignore[arg-type]


def test_a_backbone_is_compared_with_the_one_before_under_what_it_trains_on(tmp_path: Path) -> None:
    found = at_the_end_of(tmp_path, PRETRAINED)
    asked = comparisons(found.state, found.builder)["a"]
    assert asked.training is not None
    assert not np.array_equal(asked.tensors["w"], asked.reference["w"])
    assert same(asked.reference, found.state.accepted)


@pytest.mark.parametrize(("told", "stands"), [((-0.3, -0.3, 1.0), False), ((-1.0, 0.1, 0.1), True)])
def test_a_backbone_that_most_centers_are_harmed_by_is_taken_back(
    tmp_path: Path, told: tuple[float, ...], *, stands: bool
) -> None:
    found = at_the_end_of(tmp_path, PRETRAINED)
    state = found.decide(dict(zip("abc", told, strict=True)))
    assert same(state.shared, found.state.shared if stands else found.state.accepted)
    assert (state.branches, state.history.gates[-1].verdict.promoted) == ({}, stands)


def test_a_backbone_that_everybody_is_away_from_waits(tmp_path: Path) -> None:
    found = at_the_end_of(tmp_path, PRETRAINED)
    with pytest.raises(QuorumError, match=r"none of .* could compare the candidate"):
        found.decide(dict.fromkeys("abc", "no-answer"))
    assert found.decide(dict.fromkeys("abc")).history.gates[-1].verdict.provisional is True
