"""A center withdraws from a simulated study: the replay, trained by real trainers, is the study that never had it."""

from pathlib import Path

import pytest

from server.audit.verification import verify
from server.study.directory import StudyDirectory
from server.withdrawal.withdrawal import withdraw
from strategies.bank.bank import AdapterBank
from tests.support.small_study import run, write_study
from tests.support.study_text import NETWORK, centers_text, head_text, stage_text
from tests.support.withdrawn_study import no_link

pytestmark = pytest.mark.usefixtures("no_report")

HEAD = head_text("small", "A small synthetic study", "seed = 5") + NETWORK
STAYS, LEAVES = "center-a", "center-d"
BOTH = (STAYS, LEAVES)
BEFORE = stage_text("pretrain", [STAYS], kind="pretrain")
LATE = (
    HEAD
    + centers_text(BOTH, {LEAVES: 'modalities = ["ct"]'})
    + BEFORE
    + stage_text("adapt", BOTH)
    + stage_text("last", [STAYS])
)
NEVER = HEAD + centers_text([STAYS]) + BEFORE + stage_text("adapt", [STAYS]) + stage_text("last", [STAYS])


def hashes(directory: StudyDirectory) -> dict[str, str]:
    return {entry.reference: entry.sha256 + entry.backbone for entry in AdapterBank(directory.bank).entries()}


@pytest.mark.slow
def test_the_replay_is_the_study_that_never_had_the_center(cohort: Path, tmp_path: Path) -> None:
    late = run(write_study(tmp_path / "late.toml", LATE), cohort, tmp_path / "late")
    told = withdraw(late, LEAVES, connect=no_link).statement
    assert (told.first_stage, told.in_use) == ("adapt", "shared/0001")
    root = Path(told.replay)
    replay = run(root / "study.toml", cohort, root, resume=True)
    never = run(write_study(tmp_path / "never.toml", NEVER), cohort, tmp_path / "never")
    assert hashes(replay) == hashes(never)
    for directory in (late, replay, never):
        assert verify(directory).findings == ()
