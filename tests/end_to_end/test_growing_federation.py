"""Centers come, go, and have ranks of their own: the rounds go on with whoever is there."""

from pathlib import Path

import numpy as np
import pytest

from client.learning.assembly import row_of
from client.scores.bank_evaluation import load_adapter
from protocol.errors import QuorumError
from protocol.local_steps import is_gate
from protocol.messages.tensors import Tensors, role_of
from server.study import checkpoint as checkpoints
from strategies.bank.bank import AdapterBank
from tests.support.federation import GROWING, TOGETHER, errors_of, federation, result_of, when_round_starts
from tests.support.study_text import NO_GATE


def test_a_center_that_only_later_stages_name_may_come_later(cohort: Path, tmp_path: Path) -> None:
    found = federation(tmp_path, cohort, GROWING)
    found.offline.add("center-d")
    found.run(when_round_starts(2, found.offline.clear))
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
    found.run(when_round_starts(2, found.offline.clear))
    assert errors_of(found) == [
        (1, "center-a", ""),
        (1, "center-d", "no-answer"),
        (2, "center-a", ""),
        (2, "center-d", ""),
    ]


def test_a_center_that_left_is_named_and_the_round_goes_on(cohort: Path, tmp_path: Path) -> None:
    found = federation(tmp_path, cohort, GROWING.replace("[centers.center-a]", f"{NO_GATE}\n[centers.center-a]"))
    found.run(when_round_starts(4, lambda: found.offline.add("center-a")))
    assert errors_of(found)[-2:] == [(4, "center-a", "node-unavailable"), (4, "center-d", "")]
    rows = result_of(found)["evaluations"]
    assert rows[-1]["errors"] == {"center-a": "node-unavailable"}


def test_without_the_quorum_a_stage_does_not_start(cohort: Path, tmp_path: Path) -> None:
    found = federation(tmp_path, cohort, TOGETHER.replace("quorum = 1", "quorum = 2\ndeadline_s = 0.2"))
    found.offline.add("center-d")
    with pytest.raises(QuorumError, match=r"1 of 2 center\(s\) registered, quorum is 2; missing: \['center-d'\]"):
        found.run()


def test_records_say_what_trained_and_how_far_it_moved(cohort: Path, tmp_path: Path) -> None:
    found = federation(tmp_path, cohort, TOGETHER)
    found.run()
    state = checkpoints.load(found.directory.checkpoint)
    assert state is not None
    bank, records = AdapterBank(found.directory.bank), state.history.rounds
    assert [record.phase for record in records] == ["lora_b+magnitude"] * 2 + ["lora_a"] * 2
    sent = {(i.server_round, r.center): (i, r) for i, r in found.notes if i.kind == "train"}
    for record in records:
        instruction, reply = sent[record.server_round, record.center]
        assert reply.payload is not None
        known = {**first_magnitudes(bank.backbone(instruction.backbone_hash)), **instruction.tensors}
        squares = {"peft": 0.0} | dict.fromkeys(reply.payload.support, 0.0)
        for key, array in reply.payload.tensors.items():
            group = "peft" if role_of(key) else "fusion" if is_gate(key) else "pet"
            squares[group] += (
                float(np.square(array.astype(np.float64).ravel() - known[key].ravel()).sum()) if key in known else 0.0
            )
        assert record.update_norms.keys() == record.support.keys()
        assert {group: norm**2 for group, norm in record.update_norms.items()} == pytest.approx(squares, rel=1e-4)


def first_magnitudes(backbone: Tensors) -> Tensors:
    """What a magnitude that nobody sent begins from: the norms of its frozen weight's rows."""
    weights = {key.removesuffix(".weight"): array for key, array in backbone.items() if key.endswith(".weight")}
    return {
        f"{name}#magnitude": np.linalg.norm(array.reshape(len(array), -1), axis=1) for name, array in weights.items()
    }


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
        load_adapter(bank, row_of(bank.settings), name, None, device="cpu")
