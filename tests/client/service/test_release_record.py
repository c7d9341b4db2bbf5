"""Whatever leaves a trainer is in the ledger for life first, once, and by the patients it may stand on."""

import errno
import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from client.data.block_file import RecordsError
from client.privacy import privacy_ledger
from client.privacy.case_hashes import KEY, hash_names
from client.privacy.ledger_file import LEDGER, Entry, Promise
from client.privacy.privacy_ledger import PrivacyLedger
from client.privacy.release import KINDS, Release
from client.service.trainer import Trainer
from deploy.simulation.local import agreement_of
from protocol.errors import StorageError
from protocol.messages.instruction import Kind
from protocol.messages.secure_aggregation import SecureAggregation
from protocol.messages.secure_sum import SumRequest
from server.study.file import Study
from tests.support.one_center import asked
from tests.support.start_state import Start
from tests.support.summing import Summing

ASKED: tuple[Kind, ...] = ("register", "train", "evaluate", "compare", "observe")


def entries(home: Path) -> tuple[Entry, ...]:
    return PrivacyLedger(home).entries()


def kinds(home: Path) -> list[str]:
    return [entry.release.kind for entry in entries(home)]


def test_each_kind_of_release_has_an_entry_of_the_patients_it_may_stand_on(both: Trainer, start: Start) -> None:
    """One of three patients trains, one validates, one is a test patient; each is a case of the same name.

    An audit leaves in no reply: somebody hands it on (`tests/client/audit/test_audit_release.py`).
    """
    for kind in ASKED:
        assert both.perform(asked(start.study, kind)).error == ""
    found = entries(both.home)
    assert {entry.release.kind for entry in found} == {*KINDS} - {"audit"}
    assert not any(entry.release.is_guaranteed for entry in found)
    manifest = both._work.cases.manifest(start.study.settings)
    split = both._work.cases.split(start.study.settings)
    key = (both.home / KEY).read_bytes()
    hashes = {
        part: hash_names(
            key, {name for case in manifest.usable if split[case.name] == part for name in (case.name, case.patient)}
        )
        for part in ("train", "validation", "test")
    }
    parts = [
        (entry.release.kind, part) for entry in found for part, of_part in hashes.items() if entry.subjects == of_part
    ]
    assert parts == [
        ("training", "train"),
        ("score", "validation"),
        ("score", "test"),
        ("comparison", "validation"),
        ("fisher", "train"),
        ("gram", "train"),
        ("prototype", "train"),
    ]


def test_what_leaves_again_is_no_new_release_also_after_a_restart(cohort: Path, tmp_path: Path, study: Study) -> None:
    """From the outbox, as an answer to `collect`, and figures that are computed once more."""
    for kind in ("train", "train", "evaluate", "evaluate"):
        Trainer("center-d", [cohort / "center-d"], ("ct",), tmp_path).perform(asked(study, kind))
    late = Trainer("center-d", [cohort / "center-d"], ("ct",), tmp_path).perform(asked(study, "collect", 4))
    assert late.payload is not None
    assert kinds(tmp_path) == ["training", "score", "score"]


def test_a_disk_that_refuses_stops_the_reply_and_the_work_is_not_lost(
    ct_only: Trainer, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for kind in ("train", "evaluate", "compare"):
        with monkeypatch.context() as patched:
            patched.setattr(privacy_ledger, "append_lines", refuse)
            with pytest.raises(StorageError, match=r"privacy\.jsonl cannot be written \(No space left on device\)"):
                ct_only.perform(asked(study, kind))
        assert not (ct_only.home / "outgoing.jsonl").exists()
    assert kinds(ct_only.home) == []
    assert ct_only.perform(asked(study)).payload is not None
    (line,) = map(json.loads, (ct_only.home / "outgoing.jsonl").read_text().splitlines())
    assert line["again"]
    assert kinds(ct_only.home) == ["training", "score"]


def test_what_does_not_leave_is_not_recorded(cohort: Path, tmp_path: Path, study: Study) -> None:
    one = Trainer("center-d", [cohort / "center-d"], ("ct",), tmp_path, minimum_cases=2)
    assert one.perform(asked(study)).error == "egress-refused"
    assert one.perform(asked(study, "register")).error == ""
    assert not (tmp_path / LEDGER).exists()


def test_masked_rows_are_a_release_of_training_all_the_same(cohort: Path, tmp_path: Path, study: Study) -> None:
    settings = study.settings.model_copy(update={"secure_aggregation": SecureAggregation()})
    summing = Summing(settings=settings)
    trainer, instruction = summing.trainer(cohort, tmp_path), replace(asked(study), settings=settings)
    boxes = summing.open_for(trainer, instruction)
    assert trainer.perform(replace(instruction, secure=SumRequest(boxes=boxes))).error == ""
    assert kinds(tmp_path) == ["training", "score"]


def trainer_with_agreement(study: Study, cohort: Path, home: Path) -> Trainer:
    return Trainer("center-a", [cohort / "center-a"], ("ct", "pet"), home, agreement=agreement_of(study, "center-a"))


def test_a_ledger_that_cannot_be_added_to_is_refused_before_a_case_is_read(study: Study, tmp_path: Path) -> None:
    """There is no folder of cases at all."""
    PrivacyLedger(tmp_path).record(Release("gram", "gaussian", 4.0, 1.0, 1, "s", "a", 1), ["p"])
    (tmp_path / LEDGER).unlink()
    with pytest.raises(RecordsError, match=r"privacy\.jsonl"):
        trainer_with_agreement(study, tmp_path / "absent", tmp_path)


def test_a_study_without_a_guarantee_says_that_earlier_promises_do_not_cover_it(
    study: Study, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    release = Release("gram", "gaussian", 4.0, 1.0, 1, "earlier", "a", 1)
    trainer_with_agreement(study, tmp_path / "absent", tmp_path)
    assert "promised an epsilon" not in caplog.text
    PrivacyLedger(tmp_path).spend(release, ["p"], Promise(3.0, 1e-3))
    with caplog.at_level(logging.WARNING):
        trainer_with_agreement(study, tmp_path / "absent", tmp_path)
    assert "were promised an epsilon by ['earlier']: what trains now leaves without a guarantee" in caplog.text
