"""What is removed from a study's directory, and that it can be done again after a kill."""

from pathlib import Path

import numpy as np
import pytest

from server.study.checkpoint import load
from server.study.directory import StudyDirectory
from server.study.stage_states import kept_stage_states
from server.withdrawal.lineage import Lineage, part_entries
from server.withdrawal.removal import remove_versions, take_state_back
from strategies.bank.bank import AdapterBank
from strategies.bank.routing_file import ROUTER_FILE
from tests.support.bank_of_numbers import add_version, number_bank
from tests.support.withdrawn_study import LATE_COMER, light_late_comer, study_of

LINEAGE = Lineage("c", 1, (3, 4))


def test_head_goes_back_before_tensors_go_and_again_changes_nothing(tmp_path: Path) -> None:
    bank = number_bank(tmp_path / "bank")
    for number, stage in enumerate(("stage-1", "stage-2"), start=1):
        add_version(bank, "shared", float(number), stage)
    add_version(bank, "c", 3.0, "stage-2")
    parted = part_entries(LINEAGE, study_of(LATE_COMER), bank.entries())
    for _ in range(2):
        remove_versions(AdapterBank(bank.root), LINEAGE, parted)
    assert bank.head("shared").version == 1
    assert [entry.reference for entry in bank.entries() if bank.tombstone(entry)] == ["c/0001", "shared/0002"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return light_late_comer(tmp_path_factory.mktemp("late")).root


def test_no_tensor_of_the_center_stays_in_inbox_and_checkpoints(finished: Path) -> None:
    """`c-2` is another center."""
    directory = StudyDirectory(finished)
    late = directory.root / "inbox" / "late"
    late.mkdir(parents=True)
    for name in ("c-0123456789abcdef", "c-2-0123456789abcdef"):
        (late / f"{name}.safetensors").write_bytes(b"")
    state = load(directory.checkpoint)
    assert state is not None
    for _ in range(2):
        take_state_back(directory, LINEAGE, state, study_of(LATE_COMER))
    assert [path.name for path in late.iterdir()] == ["c-2-0123456789abcdef.safetensors"]
    found, first = load(directory.checkpoint), load(directory.root / "stages" / "0001.safetensors")
    assert found is not None
    assert first is not None
    assert (found.server_round, kept_stage_states(directory)) == (2, (1,))
    assert all(np.array_equal(found.shared[key], first.shared[key]) for key in first.shared)


def test_a_router_that_nobody_is_left_of_is_told_of_and_removed(finished: Path) -> None:
    directory, told = StudyDirectory(finished), list[tuple[str, str]]()
    (directory.bank / ROUTER_FILE).write_bytes(b"{}")
    study, state = (
        study_of(LATE_COMER.replace("gate = false", "gate = false\nrouter = true")),
        load(directory.checkpoint),
    )
    assert state is not None
    take_state_back(directory, LINEAGE, state, study, lambda event, facts: told.append((event, str(facts["sha256"]))))
    assert (told, (directory.bank / ROUTER_FILE).exists()) == ([("router", "")], False)
