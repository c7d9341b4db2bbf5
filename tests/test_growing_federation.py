"""Centers come, go and send what they should not: the round goes on without them while the quorum holds."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.bank_evaluation import load_adapter
from server import checkpoint as checkpoints
from server.history import RoundRecord
from server.progress import Listener
from strategies.bank import AdapterBank
from strategies.errors import QuorumError
from strategies.instruction import Comparison, Instruction, Reply
from strategies.payload import Payload
from strategies.tensors import role_of
from tests.federation import Federation, federation
from tests.small_study import STUDY

HEAD = STUDY.partition("[[stages]]")[0].replace("seed = 5", "seed = 5\nquorum = 1")


def stage(name: str, kind: str, centers: str, *more: str) -> str:
    lines = ("rounds = 2", "local_steps = 1", "learning_rate = 1e-3", *more)
    return "\n".join(["[[stages]]", f'name = "{name}"', f'kind = "{kind}"', f"centers = {centers}", *lines, ""])


GROWING = HEAD + stage("adapt", "adapt", '["center-a"]') + stage("arrive", "arrive", '["center-a", "center-d"]')
TOGETHER = HEAD + stage("adapt", "adapt", '["center-a", "center-d"]')


class Doing(Listener):
    """Does something when a round starts."""

    def __init__(self, at: int, action: Any) -> None:
        self.at, self.action, self.rounds = at, action, 0

    def round_started(self, *_: object) -> None:
        self.rounds += 1
        if self.rounds == self.at:
            self.action()


def result_of(found: Federation) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(found.directory.result.read_text())
    return read


def errors_of(found: Federation) -> list[tuple[int, str, str]]:
    return [(row["server_round"], row["center"], row["error"]) for row in result_of(found)["rounds"]]


def test_a_center_that_only_later_stages_name_may_come_later(cohort: Path, tmp_path: Path) -> None:
    found = federation(tmp_path, cohort, GROWING)
    found.offline.add("center-d")
    found.run(Doing(2, found.offline.clear))
    assert errors_of(found)[2:] == [
        (3, "center-a", ""),
        (3, "center-d", ""),
        (4, "center-a", ""),
        (4, "center-d", ""),
    ]
    dice = result_of(found)["matrices"]["ct"]["dice"]
    assert dice[0][1] is None, "the row before training was scored without center-d"
    assert dice[-1][1] is not None


def test_a_center_that_comes_within_a_stage_takes_part_from_the_next_round(cohort: Path, tmp_path: Path) -> None:
    found = federation(tmp_path, cohort, TOGETHER.replace("quorum = 1", "quorum = 1\ndeadline_s = 10"))
    found.offline.add("center-d")
    found.run(Doing(2, found.offline.clear))
    assert errors_of(found) == [
        (1, "center-a", ""),
        (1, "center-d", "no-answer"),
        (2, "center-a", ""),
        (2, "center-d", ""),
    ]


def test_a_center_that_left_is_named_and_the_round_goes_on(cohort: Path, tmp_path: Path) -> None:
    found = federation(tmp_path, cohort, GROWING)
    found.run(Doing(4, lambda: found.offline.add("center-a")))
    assert errors_of(found)[-2:] == [(4, "center-a", "node-unavailable"), (4, "center-d", "")]
    rows = result_of(found)["evaluations"]
    assert rows[-1]["errors"] == {"center-a": "node-unavailable"}


def test_without_the_quorum_a_stage_does_not_start(cohort: Path, tmp_path: Path) -> None:
    found = federation(tmp_path, cohort, TOGETHER.replace("quorum = 1", "quorum = 2\ndeadline_s = 0.2"))
    found.offline.add("center-d")
    with pytest.raises(QuorumError, match=r"1 of 2 center\(s\) registered, quorum is 2; missing: \['center-d'\]"):
        found.run()


def with_payload(change: Any) -> Any:
    """What center-d does to its first payload."""

    def changed(instruction: Instruction, reply: Reply) -> Reply:
        if reply.center != "center-d" or instruction.server_round != 1 or reply.payload is None:
            return reply
        return replace(reply, payload=change(instruction, reply.payload))

    return changed


def _moved_factor(instruction: Instruction, payload: Payload) -> Payload:
    moved = {key: array + 1 for key, array in instruction.tensors.items() if key.endswith("#lora_a")}
    return replace(payload, tensors={**payload.tensors, **moved})


def _first(payload: Payload, value: float) -> dict[str, Any]:
    key = next(key for key in sorted(payload.tensors) if key.endswith("#magnitude"))
    array = np.array(payload.tensors[key])
    array.flat[0] = value
    return {**payload.tensors, key: array}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_moved_factor, "phase"),
        (lambda _i, p: replace(p, frozen_hash="0" * 64), "frozen-moved"),
        (lambda _i, p: replace(p, phase="lora_a"), "phase"),
        (lambda _i, p: replace(p, backbone_hash="1" * 64), "other-backbone"),
        (lambda _i, p: replace(p, stage="pretrain"), "payload"),
        (lambda _i, p: replace(p, server_round=0), "late"),
        (lambda _i, p: replace(p, support={"peft": 99}), "support"),
        (lambda _i, p: replace(p, tensors=_first(p, float("nan"))), "non-finite"),
        (lambda _i, p: replace(p, tensors=_first(p, -1.0)), "gain"),
        (lambda _i, p: replace(p, tensors=_first(p, 1e-9)), "gain"),
        (lambda _i, p: replace(p, tensors={k: a[:1] for k, a in p.tensors.items()}), "payload"),
    ],
    ids=[
        *("frozen-factor-sent", "frozen-factor-moved", "other-phase", "other-backbone", "other-stage", "other-round"),
        *("weight-inflation", "nan", "negative-gain", "vanishing-gain", "other-rank"),
    ],
)
def test_what_may_not_enter_is_refused_by_name_and_the_round_goes_on(
    change: Any, code: str, cohort: Path, tmp_path: Path
) -> None:
    found = federation(tmp_path, cohort, TOGETHER.replace("rounds = 2", "rounds = 1"))
    found.change = with_payload(change)
    found.run()
    assert errors_of(found) == [(1, "center-a", ""), (1, "center-d", code)]
    shared = AdapterBank(found.directory.bank).tensors(AdapterBank(found.directory.bank).head("shared"))
    sent = next(reply.payload.tensors for _, reply in found.notes if reply.payload and reply.center == "center-a")
    for key in sent:
        np.testing.assert_allclose(shared[key], sent[key], rtol=1e-6, err_msg="center-a alone counts")


GATED = GROWING.replace("[centers.center-a]", '[strategy]\npersonal = ["center"]\n[strategy.gate]\n[centers.center-a]')


def compared(difference: float) -> Any:
    """Center-a's comparison in the second stage."""

    def changed(instruction: Instruction, reply: Reply) -> Reply:
        if instruction.kind != "compare" or instruction.stage != "arrive":
            return reply
        told = difference if reply.center == "center-a" else 0.1
        return replace(reply, comparison=Comparison(2, told, (told,) * 1000))

    return changed


def test_a_stage_that_harms_an_earlier_center_stays_private_to_the_new_one(cohort: Path, tmp_path: Path) -> None:
    found = federation(tmp_path, cohort, GATED)
    found.change = compared(-0.02)
    found.run()
    gate = result_of(found)["gates"][-1]
    assert (gate["stage"], gate["promoted"], gate["branches"]) == ("arrive", False, ["center-d"])
    bank = AdapterBank(found.directory.bank)
    first, second = (bank.entry("shared", version) for version in (1, 2))
    assert first.sha256 == second.sha256, "the shared adapter is the one that was accepted before"
    assert bank.head("center-d").stage == "arrive"
    branch, shared = bank.tensors(bank.head("center-d")), bank.tensors(second)
    assert any(not np.array_equal(branch[key], shared[key]) for key in shared), "center-d keeps the candidate"


def test_the_old_center_is_served_what_it_was_served_before(cohort: Path, tmp_path: Path) -> None:
    found = federation(tmp_path, cohort, GATED)
    found.change = compared(-0.02)
    found.run()
    matrix = result_of(found)["matrices"]["ct+pet"]
    assert matrix["dice"][-1][0] == matrix["dice"][-2][0]
    served = [i.tensors for i, r in found.notes if i.kind == "evaluate" and r.center == "center-a"]
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
    text = GROWING + stage("again", "arrive", '["center-a"]')
    found = federation(tmp_path, cohort, text)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found.run(Doing(5, stop))
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


def test_records_say_what_trained_and_how_far_it_moved(cohort: Path, tmp_path: Path) -> None:
    found = federation(tmp_path, cohort, TOGETHER)
    found.run()
    state = checkpoints.load(found.directory.checkpoint)
    assert state is not None
    records: tuple[RoundRecord, ...] = state.history.rounds
    assert [record.phase for record in records] == ["lora_b+magnitude"] * 2 + ["lora_a"] * 2
    sent = {(i.server_round, r.center): (i, r) for i, r in found.notes if i.kind == "train"}
    for record in records:
        instruction, reply = sent[record.server_round, record.center]
        assert reply.payload is not None
        known, squares = instruction.tensors, {"peft": 0.0} | dict.fromkeys(reply.payload.support, 0.0)
        for key, array in reply.payload.tensors.items():
            group = "peft" if role_of(key) else "pet"
            squares[group] += float(np.square(array.astype(np.float64) - known[key]).sum()) if key in known else 0.0
        assert record.update_norms.keys() == record.support.keys()
        assert {group: norm**2 for group, norm in record.update_norms.items()} == pytest.approx(squares)


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


def test_a_center_that_cannot_be_observed_sits_out_a_scheme_that_weighs_by_it(cohort: Path, tmp_path: Path) -> None:
    scheme = '[strategy.aggregation]\nscheme = "lorm"\n[centers.center-a]'
    found = federation(tmp_path, cohort, TOGETHER.replace("[centers.center-a]", scheme))

    def changed(instruction: Instruction, reply: Reply) -> Reply:
        lost = instruction.kind == "observe" and reply.center == "center-d" and instruction.server_round == 0
        return Reply(center=reply.center, kind=reply.kind, error="internal") if lost else reply

    found.change = changed
    found.run()
    assert errors_of(found)[:2] == [(1, "center-a", ""), (1, "center-d", "not-observed")]
    assert errors_of(found)[2:] == [(2, "center-a", ""), (2, "center-d", "")]
    assert sum(errand["kind"] == "observe" for errand in result_of(found)["errands"]) == 4


def test_nobody_who_can_compare_stops_the_study_before_the_gate_decides(cohort: Path, tmp_path: Path) -> None:
    found = federation(tmp_path, cohort, GATED)

    def changed(instruction: Instruction, reply: Reply) -> Reply:
        silent = instruction.kind == "compare" and instruction.stage == "arrive"
        return Reply(center=reply.center, kind=reply.kind, error="internal") if silent else reply

    found.change = changed
    with pytest.raises(QuorumError, match=r"none of .* could compare the candidate"):
        found.run()
    found.change = compared(-0.005)
    found.run()
    assert result_of(found)["gates"][-1]["promoted"] is True


def test_centers_of_other_ranks_work_with_one_shared_adapter(cohort: Path, tmp_path: Path) -> None:
    """Rank 1 at one center and 3 at the other, 2 shared: both load, train and can be taken from the bank again."""
    scheme = '[strategy.aggregation]\nscheme = "product-exact"\n[centers.center-a]\nrank = 1'
    text = TOGETHER.replace("[centers.center-a]", scheme).replace("[centers.center-d]", "[centers.center-d]\nrank = 3")
    found = federation(tmp_path, cohort, text)
    found.run()
    assert [error for *_, error in errors_of(found)] == [""] * 4
    bank = AdapterBank(found.directory.bank)
    for name, rank in (("shared", 2), ("center-a", 1), ("center-d", 3)):
        tensors = bank.tensors(bank.head(name))
        assert {array.shape[0] for key, array in tensors.items() if key.endswith("#lora_a")} == {rank}
        load_adapter(bank, name, None, device="cpu")
