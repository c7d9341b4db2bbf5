"""What a stage border and the gate do to the state of a study, without a single message."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.study.prepare import prepare
from protocol.messages.tensors import Tensors, role_of
from server.rounds.study_run import FRESH
from server.rounds.transitions import after_backbone_gate, after_gate, after_warm_up, enter_stage, leave_stage
from server.study.checkpoint import Checkpoint
from server.study.directory import Prepared, read_prepared
from server.study.history import QueryRecord
from strategies.bank.bank import AdapterBank
from strategies.continual.gate import Verdict
from tests.support.small_study import STUDY, write_study

HEAD = STUDY.partition("[[stages]]")[0].replace('method = "dora"', 'method = "lora"')
STAGES = """
[[stages]]
name = "adapt"
kind = "adapt"
centers = ["center-a"]
rounds = 1
local_steps = 1
learning_rate = 1e-3

[[stages]]
name = "arrive"
kind = "arrive"
centers = ["center-a", "center-d"]
rounds = 1
local_steps = 1
learning_rate = 1e-3
"""
TERMS = "[strategy]\n[strategy.terms]\northogonality = 1.0\n[centers.center-a]"

NAMES = ("center-a", "center-d")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    root = tmp_path_factory.mktemp("transitions")
    text = HEAD.replace("[centers.center-a]", TERMS) + STAGES
    prepare(write_study(root / "study.toml", text), root / "out")
    return read_prepared(root / "out")


@pytest.fixture
def bank(prepared: Prepared, tmp_path: Path) -> AdapterBank:
    return AdapterBank.create(tmp_path / "bank", prepared.study.settings, prepared.adapter_config)


@pytest.fixture
def entered(prepared: Prepared, bank: AdapterBank) -> Checkpoint:
    return enter_stage(FRESH, prepared.study.stages[0], prepared, bank)


def moved(tensors: Tensors, by: float = 0.5) -> dict[str, NDArray[np.float32]]:
    """The same keys with every B moved."""
    return {key: array + np.float32(by) * (role_of(key) == "lora_b") for key, array in tensors.items()}


def same(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def verdict(*, promoted: bool, **differences: float) -> Verdict:
    named = {name.replace("_", "-"): value for name, value in differences.items()}
    return Verdict(promoted, None, None, None, named)


def test_entering_a_stage_again_changes_nothing(prepared: Prepared, bank: AdapterBank, entered: Checkpoint) -> None:
    """A fresh adapter has no update to fold away, also with O-LoRA on."""
    again = enter_stage(entered, prepared.study.stages[0], prepared, bank)
    assert same(again.shared, entered.shared)
    assert not any(role_of(key) == "residual_a" for key in again.shared)


def test_o_lora_puts_what_was_learned_into_the_residual(
    prepared: Prepared, bank: AdapterBank, entered: Checkpoint
) -> None:
    learned = replace(entered, shared=moved(entered.shared), stage_index=1, server_round=1)
    state = enter_stage(learned, prepared.study.stages[1], prepared, bank)
    assert any(role_of(key) == "residual_a" for key in state.shared)
    assert not any(array.any() for key, array in state.shared.items() if role_of(key) == "lora_b")


def test_control_variates_and_moments_do_not_outlive_a_stage(
    prepared: Prepared, bank: AdapterBank, entered: Checkpoint
) -> None:
    one = np.ones(1, np.float32)
    state = replace(
        entered,
        memory={"w@shared-control": one, "w@momentum": one, "m@gram": one},
        own={"center-a": {"w@control": one, "w@own": one}},
    )
    after = enter_stage(state, prepared.study.stages[1], prepared, bank)
    assert set(after.memory) == {"m@gram"}
    assert set(after.own["center-a"]) == {"w@own"}


def refuse(prepared: Prepared, entered: Checkpoint, **differences: float) -> Checkpoint:
    candidate = replace(entered, shared=moved(entered.shared), own={"center-d": {"m#center_b": np.ones(1, np.float32)}})
    return after_gate(candidate, prepared.study.stages[1], prepared.study, verdict(promoted=False, **differences))


def test_a_refused_candidate_stays_with_the_center_it_serves_better(prepared: Prepared, entered: Checkpoint) -> None:
    state = refuse(prepared, entered, center_a=-0.05, center_d=0.1)
    assert same(state.shared, entered.shared)
    assert set(state.branches) == {"center-d"}
    assert same(state.branches["center-d"], moved(entered.shared))
    assert "center-d" in state.own


def test_the_history_says_who_of_the_unheard_holds_a_comparison_back(prepared: Prepared, entered: Checkpoint) -> None:
    """Center-d held one back for this stage; what center-c held back was of another stage."""
    first, second = prepared.study.stages[:2]
    told = [("compare", "center-d", second), ("compare", "center-c", first)]
    queries = tuple(QueryRecord(of.name, kind, name, suppressed=("comparison",)) for kind, name, of in told)
    state = replace(entered, history=replace(entered.history, queries=queries))
    silent = replace(verdict(promoted=True, center_a=0.1), unheard=("center-c", "center-d"))
    (gate,) = after_gate(state, second, prepared.study, silent).history.gates
    assert gate.withheld == ("center-d",)


def test_a_newcomer_that_was_not_heard_keeps_what_it_trained(prepared: Prepared, entered: Checkpoint) -> None:
    assert set(refuse(prepared, entered, center_a=-0.05).branches) == {"center-d"}


def test_a_newcomer_that_it_serves_worse_keeps_what_it_fitted_in_its_warm_up(
    prepared: Prepared, entered: Checkpoint
) -> None:
    fitted = {"center-d": {"m#center_b": np.full(1, 7, np.float32)}}
    warm = after_warm_up(replace(entered, own=fitted))
    later = replace(warm, own={"center-d": {"m#center_b": np.full(1, 8, np.float32)}})
    told = verdict(promoted=False, center_a=-0.05, center_d=-0.1)
    state = after_gate(later, prepared.study.stages[1], prepared.study, told)
    assert state.branches == {}
    assert state.own["center-d"]["m#center_b"].item() == 7


@pytest.mark.parametrize(
    ("told", "kept"), [({"center_a": 0.1, "center_d": 0.1}, set()), ({"center_a": 0.1}, {"center-d"})]
)
def test_a_branch_is_given_up_only_by_a_center_that_was_heard(
    told: dict[str, float], kept: set[str], prepared: Prepared, entered: Checkpoint
) -> None:
    state = replace(entered, branches={"center-d": moved(entered.shared)})
    after = after_gate(state, prepared.study.stages[1], prepared.study, verdict(promoted=True, **told))
    assert set(after.branches) == kept


def test_a_center_that_a_promoted_candidate_harms_keeps_what_it_was_served_with_its_own(
    prepared: Prepared, entered: Checkpoint
) -> None:
    """Center-a keeps the tensors from before the stage and its own of then; center-d has the candidate and its own."""
    then, now = ({name: {"m#center_b": np.full(1, value, np.float32)} for name in NAMES} for value in (1, 2))
    candidate = replace(entered, shared=moved(entered.shared), own=now, accepted_own=then)
    told = replace(verdict(promoted=True, center_a=-0.5, center_d=0.1), harmed=("center-a",))
    state = after_gate(candidate, prepared.study.stages[1], prepared.study, told)
    assert same(state.shared, candidate.shared)
    assert (list(state.branches), same(state.branches["center-a"], entered.accepted)) == (["center-a"], True)
    assert [state.own[name]["m#center_b"].item() for name in NAMES] == [1, 2]
    assert state.history.gates[-1].kept == ("center-a",)


def test_a_center_that_is_harmed_again_keeps_the_branch_it_has(prepared: Prepared, entered: Checkpoint) -> None:
    branch = moved(entered.shared, 7.0)
    candidate = replace(entered, shared=moved(entered.shared), branches={"center-a": branch})
    told = replace(verdict(promoted=True, center_a=-0.5), harmed=("center-a",))
    assert same(after_gate(candidate, prepared.study.stages[1], prepared.study, told).branches["center-a"], branch)


@pytest.mark.parametrize("promoted", [True, False])
def test_a_backbone_that_does_not_stand_is_as_before_the_stage(
    prepared: Prepared, entered: Checkpoint, *, promoted: bool
) -> None:
    candidate = replace(entered, shared=moved(entered.shared), own={"center-a": {"w": np.ones(1, np.float32)}})
    state = after_backbone_gate(candidate, prepared.study.stages[0], verdict(promoted=promoted))
    assert same(state.shared, candidate.shared if promoted else entered.accepted)
    assert (set(state.own), state.done) == ({"center-a"} if promoted else set(), ("gate",))


def test_leaving_a_stage_keeps_nothing_that_is_shared(prepared: Prepared, entered: Checkpoint) -> None:
    own = {"center-a": {"m#lora_b": np.ones(1, np.float32), "features.ct@mean": np.ones(1, np.float32)}}
    stages = prepared.study.stages
    left = leave_stage(replace(entered, own=own, done=("score",)), stages[0], stages[1], prepared.study)
    assert set(left.own["center-a"]) == {"features.ct@mean"}
    assert (left.stage_index, left.done) == (1, ())


def test_entering_a_stage_that_came_later_keeps_no_more_than_leaving_for_it_would(
    prepared: Prepared, bank: AdapterBank, entered: Checkpoint
) -> None:
    """A study that ended with the first stage, and was extended by the second, is the one that had both."""
    own = {"center-a": {"m#lora_b": np.ones(1, np.float32), "features.ct@mean": np.ones(1, np.float32)}}
    after = enter_stage(replace(entered, own=own), prepared.study.stages[1], prepared, bank)
    assert set(after.own["center-a"]) == {"features.ct@mean"}
