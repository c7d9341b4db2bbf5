"""Simulated centers have keys that an authority of their own vouches for, in studies that sum in secret alone."""

from pathlib import Path

from deploy.simulation.summed_keys import draw_keys
from protocol.enrolment.roster import check_roster
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.secure_sum import SumAnswer
from server.study.directory import StudyDirectory
from server.study.file import read_study
from server.study.roster_file import read_roster
from strategies.secure_sum.center_side import OwnSecrets
from tests.support.study_text import NETWORK, centers_text, head_text, stage_text
from tests.support.summing import SETTINGS


def text(tables: str) -> str:
    return head_text("sim", "A simulation") + NETWORK + tables + centers_text("abc") + stage_text("adapt", "abc")


def test_each_center_has_a_key_of_the_roster_and_signs_with_it(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(text("[secure_aggregation]\n"))
    directory = StudyDirectory(tmp_path)
    keys = draw_keys(read_study(directory.study_file), directory)
    roster = check_roster(read_roster(directory.roster, "sim"), keys.authority_pem, "sim")
    assert sorted(roster.keys) == ["a", "b", "c"]

    def perform(asked: Instruction) -> Reply:
        return Reply("a", asked.kind, secure=SumAnswer(keys=OwnSecrets().keys))

    said = keys.sign("a", perform)(Instruction("advertise", SETTINGS, "adapt", 1)).secure
    assert said is not None
    assert said.keys is not None
    assert said.keys.signature
    assert list(tmp_path.glob("*key*")) == []


def test_any_other_study_has_none(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(text(""))
    directory = StudyDirectory(tmp_path)
    keys = draw_keys(read_study(directory.study_file), directory)
    assert (keys.authority_pem, dict(keys.keys)) == ("", {})
    assert not directory.roster.exists()
