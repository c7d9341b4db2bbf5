"""The no-harm gate, branches, what is personal and rollback, in a running study."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.errors import QuorumError
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison
from server.study import checkpoint as checkpoints
from strategies.bank.bank import AdapterBank
from tests.support.federation import CENTERS, GROWING, Federation, errors_of, federation, result_of, when_round_starts
from tests.support.study_text import stage_text

pytestmark = pytest.mark.usefixtures("no_report")

GATED = GROWING.replace("[centers.center-a]", '[strategy]\npersonal = ["center"]\n[strategy.gate]\n[centers.center-a]')


def compared(difference: float) -> Any:
    """Center-a's comparison in the second stage."""

    def changed(instruction: Instruction, reply: Reply) -> Reply:
        if instruction.kind != "compare" or instruction.stage != "arrive":
            return reply
        told = difference if reply.center == "center-a" else 0.1
        return replace(reply, comparison=Comparison(2, told, 0.0))

    return changed


@pytest.fixture(scope="module")
def harmed(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Federation:
    """A finished study whose second stage harms center-a."""
    found = federation(tmp_path_factory.mktemp("harmed"), cohort, GATED)
    found.change = compared(-0.02)
    found.run()
    return found


def test_a_stage_that_harms_an_earlier_center_stays_private_to_the_new_one(harmed: Federation) -> None:
    gate = result_of(harmed)["gates"][-1]
    assert (gate["stage"], gate["promoted"], gate["branches"]) == ("arrive", False, ["center-d"])
    bank = AdapterBank(harmed.directory.bank)
    first, second = (bank.entry("shared", version) for version in (1, 2))
    assert first.sha256 == second.sha256, "the shared adapter is the one that was accepted before"
    assert bank.head("center-d").stage == "arrive"
    branch, shared = bank.tensors(bank.head("center-d")), bank.tensors(second)
    assert any(not np.array_equal(branch[key], shared[key]) for key in shared), "center-d keeps the candidate"


def test_the_old_center_is_served_what_it_was_served_before(harmed: Federation) -> None:
    matrix = result_of(harmed)["matrices"]["ct+pet"]
    assert matrix["dice"][-1][0] == matrix["dice"][-2][0]
    served = [i.tensors for i, r in harmed.notes if i.kind == "evaluate" and r.center == "center-a"]
    assert served[-1].keys() == served[-2].keys()
    assert all(np.array_equal(served[-1][key], served[-2][key]) for key in served[-1])


def test_a_stage_that_harms_nobody_is_shared(cohort: Path, tmp_path: Path) -> None:
    found = federation(tmp_path, cohort, GATED)
    found.change = compared(-0.005)
    found.run()
    gate = result_of(found)["gates"][-1]
    assert (gate["promoted"], gate["branches"]) == (True, [])
    bank = AdapterBank(found.directory.bank)
    assert bank.entry("shared", 1).sha256 != bank.entry("shared", 2).sha256


def test_a_center_adapter_is_loaded_at_its_center_alone(cohort: Path, tmp_path: Path) -> None:
    found = federation(
        tmp_path, cohort, GATED.replace("learning_rate = 1e-3", "learning_rate = 1e-2\nsettle_rounds = 1")
    )
    found.run()
    last = {r.center: i.tensors for i, r in found.notes if i.kind == "evaluate"}
    trained = {
        center: {k: a for k, a in tensors.items() if k.endswith("#center_b")} for center, tensors in last.items()
    }
    assert all(any(array.any() for array in tensors.values()) for tensors in trained.values())
    assert any(not np.array_equal(trained["center-a"][key], trained["center-d"][key]) for key in trained["center-a"])


def test_a_bank_that_was_rolled_back_is_where_the_next_stage_starts(cohort: Path, tmp_path: Path) -> None:
    """Stopped between the stages, rolled back from version 2 to 1, resumed: stage three trains on version 1."""
    text = GROWING + stage_text("again", CENTERS[:1], kind="arrive", rounds=2, local_steps=1)
    found = federation(tmp_path, cohort, text)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found.run(when_round_starts(5, stop))
    state = checkpoints.load(found.directory.checkpoint)
    assert state is not None
    assert state.server_round == 4
    bank = AdapterBank(found.directory.bank)
    bank.rollback("shared", 1)
    found.notes.clear()
    found.run()
    loaded = next(i.tensors for i, _ in found.notes if i.kind == "train" and i.stage == "again")
    before = bank.tensors(bank.entry("shared", 1))
    assert all(np.array_equal(loaded[key], before[key]) for key in before)


def test_personal_rounds_need_no_quorum(cohort: Path, tmp_path: Path) -> None:
    """Center-d is asked alone in its warm-up and is not there: the stage goes on."""
    text = GATED.replace("quorum = 1", "quorum = 2") + ""
    found = federation(tmp_path, cohort, text.replace('"center-d"]\nrounds', '"center-d"]\nwarm_up_rounds = 1\nrounds'))

    def changed(instruction: Instruction, reply: Reply) -> Reply:
        warm_up = instruction.stage == "arrive" and instruction.server_round == 3
        return Reply(center=reply.center, kind=reply.kind, error="internal") if warm_up else reply

    found.change = changed
    found.run()
    assert errors_of(found)[2:] == [
        (3, "center-d", "internal"),
        *((number, center, "") for number in (4, 5) for center in ("center-a", "center-d")),
    ]


def test_nobody_who_can_compare_stops_the_study_before_the_gate_decides(cohort: Path, tmp_path: Path) -> None:
    found = federation(tmp_path, cohort, GATED)

    def changed(instruction: Instruction, reply: Reply) -> Reply:
        silent = instruction.kind == "compare" and instruction.stage == "arrive"
        return Reply(center=reply.center, kind=reply.kind, error="internal") if silent else reply

    found.change = changed
    with pytest.raises(QuorumError, match=r"earlier center.* could not be asked about the candidate"):
        found.run()
    found.change = compared(-0.005)
    found.run()
    assert result_of(found)["gates"][-1]["promoted"] is True
