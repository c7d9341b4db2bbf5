"""Centers come, go, and have ranks of their own: the rounds go on with whoever is there."""

from pathlib import Path

import numpy as np
import pytest

from client.learning.assembly import row_of
from client.scores.bank_evaluation import load_adapter
from deploy.study.study_extension import extend_study
from protocol.errors import QuorumError, StudyError
from protocol.local_steps import is_gate
from protocol.messages.tensors import Tensors, role_of
from server.audit.verification import verify
from server.study import checkpoint as checkpoints
from server.study.checkpoint import Checkpoint
from server.study.directory import StudyDirectory
from strategies.bank.bank import AdapterBank
from tests.support.extended_study import addition
from tests.support.federation import (
    CENTERS,
    GROWING,
    HEAD,
    TOGETHER,
    errors_of,
    federation,
    result_of,
    when_round_starts,
)
from tests.support.small_study import run, write_study
from tests.support.study_text import NO_GATE, stage_text

pytestmark = pytest.mark.usefixtures("no_report")


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


@pytest.mark.slow
def test_a_simulated_study_that_was_extended_runs_only_what_was_added(cohort: Path, tmp_path: Path) -> None:
    """Another study file is refused; the one that `concilium extend` wrote is resumed by real trainers."""
    before = HEAD.partition("[centers.center-d]")[0] + stage_text("adapt", CENTERS[:1], local_steps=1)
    text = '[centers.center-d]\nmodalities = ["ct"]\n' + stage_text("arrive", CENTERS[1:], kind="arrive", local_steps=1)
    file = write_study(tmp_path / "study.toml", before)
    directory = run(file, cohort, tmp_path / "out")
    with pytest.raises(StudyError, match="holds another study"):
        run(write_study(tmp_path / "edited.toml", before + text), cohort, tmp_path / "out", resume=True)
    (first,) = load(directory).history.rounds
    extend_study(directory, addition(tmp_path, text))
    run(directory.study_file, cohort, tmp_path / "out", resume=True)
    rounds = load(directory).history.rounds
    assert rounds[0] == first
    assert [(found.stage, found.center, found.error) for found in rounds[1:]] == [("arrive", "center-d", "")]
    assert verify(directory).findings == ()


def load(directory: StudyDirectory) -> Checkpoint:
    state = checkpoints.load(directory.checkpoint)
    assert state is not None
    return state
