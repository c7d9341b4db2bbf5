"""A center's own cases: scanned, split and prepared."""

from pathlib import Path

import pytest

from client.service.trainer import Trainer
from protocol.messages.instruction import Instruction
from server.study.file import Study


def test_the_split_has_a_seed_of_its_own_when_the_study_gives_one(both: Trainer, study: Study) -> None:
    for seed in (None, 77):
        split = study.settings.split.model_copy(update={"seed": seed})
        both.perform(Instruction(kind="register", settings=study.settings.model_copy(update={"split": split})))
    assert {path.name.split("-")[1] for path in both.home.glob("split-*.json")} == {"5", "77"}


def test_a_folder_without_cases_sends_a_code_and_keeps_the_reason(
    tmp_path: Path, study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = Trainer("center-x", [tmp_path / "none"], ("ct",), tmp_path / "home")
    reply = trainer.perform(Instruction(kind="register", settings=study.settings))
    assert (reply.error, dict(reply.facts)) == ("cases", {})
    assert "center 'center-x': folder: found no such folder" in caplog.text
    assert (tmp_path / "home" / "manifest.json").exists()
