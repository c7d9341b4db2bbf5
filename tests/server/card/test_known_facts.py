import json
import re
from pathlib import Path

import pytest

from protocol.errors import BankError, StudyError
from protocol.messages.audit import write_audit
from server.card.known_facts import read_facts
from tests.support.carded_study import audit_of, carded_result, spent_by, write_carded


def test_a_version_comes_with_its_ancestors_oldest_first(tmp_path: Path) -> None:
    entry = write_carded(tmp_path)
    facts = read_facts(tmp_path, "shared", None)
    assert facts.entry == entry
    assert [each.reference for each in facts.lineage] == ["shared/0001", "shared/0002"]
    assert facts.is_in_use


def test_an_earlier_version_is_not_in_use(tmp_path: Path) -> None:
    write_carded(tmp_path)
    assert not read_facts(tmp_path, "shared", 1).is_in_use


def test_a_byte_changed_in_the_version_is_found(tmp_path: Path) -> None:
    write_carded(tmp_path)
    file = tmp_path / "bank" / "adapters" / "shared" / "0002" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BankError):
        read_facts(tmp_path, "shared", None)


def test_an_audit_of_another_version_is_refused(tmp_path: Path) -> None:
    write_audit(tmp_path / "audit.json", audit_of(write_carded(tmp_path)))
    with pytest.raises(StudyError, match=re.escape("(shared/0002), this card is of")):
        read_facts(tmp_path, "shared", 1, [tmp_path / "audit.json"])


def test_without_a_result_there_is_no_card(tmp_path: Path) -> None:
    write_carded(tmp_path)
    (tmp_path / "result.json").unlink()
    with pytest.raises(StudyError, match=r"result.json is missing"):
        read_facts(tmp_path, "shared", None)


def test_the_bank_of_another_study_is_refused(tmp_path: Path) -> None:
    write_carded(tmp_path, carded_result(study="else"))
    with pytest.raises(StudyError, match="is of study 'else', the bank beside it of 'demo'"):
        read_facts(tmp_path, "shared", None)


def test_privacy_spent_by_another_center_in_another_study_or_twice_is_refused(tmp_path: Path) -> None:
    write_carded(tmp_path)
    stated = [spent_by("center-z"), spent_by(None), spent_by("center-a", "else"), spent_by("center-a")]
    paths = [tmp_path / f"{number}.json" for number in range(len(stated))]
    for path, content in zip(paths, stated, strict=True):
        path.write_text(json.dumps(content))
    for given, found in ((paths[0], "is of center 'center-z'"), (paths[1], "is of center None")):
        with pytest.raises(StudyError, match=found):
            read_facts(tmp_path, "shared", None, spent=[given])
    with pytest.raises(StudyError, match="has no entry of study 'demo'"):
        read_facts(tmp_path, "shared", None, spent=[paths[2]])
    with pytest.raises(StudyError, match="'center-a' has another file too"):
        read_facts(tmp_path, "shared", None, spent=[paths[3], paths[3]])
    assert [told.center for told in read_facts(tmp_path, "shared", None, spent=paths[3:]).spent_privacy] == ["center-a"]
