"""A center with PET of too few patients: it sends what the others of its patients teach, and the round goes on.

Center-a trains on six cases of CT and two of CT and PET and sends from five cases on, center-b on two of CT and PET.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from client.data.synthetic import CENTERS, write_synthetic_cohort
from client.service.trainer import Trainer
from deploy.simulation.local import agreement_of
from deploy.study.prepare import prepare
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.tensors import Tensors, group_in
from server.grid.center_answer import CenterAnswer
from server.rounds.inbox import Inbox
from server.rounds.instructions import InstructionBuilder
from server.rounds.records import record_of
from server.rounds.round_end import conclude
from server.rounds.round_under_way import RoundUnderWay
from server.rounds.study_run import FRESH
from server.rounds.transitions import enter_stage
from server.study.checkpoint import Checkpoint
from server.study.directory import read_prepared
from server.study.history import RoundRecord
from strategies.bank.bank import AdapterBank
from tests.support.leaving import lines_of
from tests.support.small_study import write_study
from tests.support.study_text import NETWORK, NO_GATE, centers_text, head_text, stage_text

pytestmark = pytest.mark.usefixtures("no_report")

NAMES = ("center-a", "center-b")
CASES = {"center-a": 8, "center-b": 2}
MINIMUM = {"center-a": 5, "center-b": 1}
ALL_TRAIN = "[split]\nvalidation = 0\ntest = 0\n"
STUDY = (
    head_text("thin", "A center with few PET", "seed = 5")
    + NETWORK
    + ALL_TRAIN
    + NO_GATE
    + "terms = { scaffold = true }\n"
    + centers_text(NAMES)
    + stage_text("adapt", NAMES, local_steps=8)
)
PRIVACY = "\n[privacy]\nepsilon = 8\ndelta = 0.01\nclip_norm = 0.5\nmaximum_noise = 1000\n"
HELD = ("fusion", "pet")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("few-pet")
    centers = [replace(made, patients=CASES[made.name]) for made in CENTERS if made.name in NAMES]
    write_synthetic_cohort(root, centers=centers, seed=1)
    for pet in sorted((root / "center-a").glob("*/pet.nii.gz"))[2:]:
        pet.unlink()
    return root


@dataclass(frozen=True)
class Round:
    """One round: what the centers were asked and answered, its records, and the state before and after."""

    groups: dict[str, str]
    asked: dict[str, Instruction]
    replies: dict[str, Reply]
    records: dict[str, RoundRecord]
    before: Checkpoint
    after: Checkpoint
    home: Path

    def of(self, tensors: Tensors, *groups: str) -> dict[str, np.ndarray]:
        return {key: array for key, array in tensors.items() if group_in(key, self.groups) in groups}


def run_round(folder: Path, cohort: Path, text: str) -> Round:
    study = prepare(write_study(folder / "study.toml", text), folder / "out")
    prepared = read_prepared(folder / "out")
    (stage,) = prepared.study.stages
    bank = AdapterBank.create(folder / "bank", prepared.study.settings, prepared.adapter_config)
    state = enter_stage(FRESH, stage, prepared, bank)
    builder = InstructionBuilder(prepared, stage, bank.backbone(state.backbone_hash))
    under_way, inbox = RoundUnderWay(builder, prepared.study.training_in(stage, 0), 1), Inbox(folder / "inbox")
    asked, replies, records = {}, {}, {}
    for name in NAMES:
        asked[name] = replace(under_way.instruction(state, name), backbone=builder.backbone)
        given = {"agreement": agreement_of(study, name), "minimum_cases": MINIMUM[name]}
        trainer = Trainer(name, [cohort / name], ("ct", "pet"), folder / name, **given)  # type: ignore[arg-type]
        replies[name] = trainer.perform(asked[name])
        norms, error = under_way.check(replies[name], state, CASES[name])
        if not error and (payload := replies[name].payload) is not None:
            inbox.put(payload)
        records[name] = record_of(CenterAnswer(replies[name]), stage, 1, error, norms)
    after = conclude(under_way, state, records.values(), inbox)
    return Round(prepared.groups, asked, replies, records, state, after, folder)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, cohort: Path) -> Round:
    return run_round(tmp_path_factory.mktemp("round"), cohort, STUDY)


def test_it_sends_the_adapter_and_names_the_pathways_that_stay(found: Round) -> None:
    reply = found.replies["center-a"]
    assert (reply.error, reply.suppressed.groups) == ("", HELD)
    assert reply.payload is not None
    assert reply.payload.support.keys() == {"peft"}
    assert reply.payload.support["peft"] >= MINIMUM["center-a"]
    assert {group_in(key, found.groups) for key in reply.tensors} == {"peft"}
    assert any(key.endswith("@control") for key in reply.tensors)


def test_its_record_has_no_error_and_says_what_is_held_back(found: Round) -> None:
    record = found.records["center-a"]
    assert (record.error, set(record.support)) == ("", {"peft"})
    assert record.suppressed == ("tensors.fusion", "tensors.pet")


def test_the_mean_of_the_adapter_is_of_both_and_of_the_pathways_of_the_other_center(found: Round) -> None:
    shared, other = found.after.shared, found.replies["center-b"].tensors
    pathways = {key: array for key, array in found.of(shared, *HELD).items() if "@" not in key}
    assert pathways
    assert all(np.array_equal(array, other[key]) for key, array in pathways.items())
    assert any(not np.array_equal(array, found.before.shared[key]) for key, array in pathways.items())
    adapter = found.of(other, "peft")
    assert any(not np.array_equal(shared[key], array) for key, array in adapter.items() if key in shared)


def test_its_own_log_says_why(found: Round) -> None:
    (line,) = lines_of(found.home / "center-a" / "outgoing.jsonl")
    few = "stand on fewer than 5 case(s) and stay"
    assert line["held_back"][:2] == [f"tensors of group '{group}' {few}" for group in HELD]
    assert line["suppressed"] == ["tensors.fusion", "tensors.pet"]


def test_a_private_round_spends_nothing_on_what_stays_and_is_accepted(tmp_path: Path, cohort: Path) -> None:
    """Noise moves the adapter alone: what stays has the bits it came with, or the coordinator would refuse it."""
    found = run_round(tmp_path, cohort, STUDY.replace(ALL_TRAIN, ALL_TRAIN + PRIVACY))
    reply, record = found.replies["center-a"], found.records["center-a"]
    assert (reply.error, reply.suppressed.groups, record.error) == ("", HELD, "")
    assert record.support == {"peft": 8}
