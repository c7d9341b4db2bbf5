from pathlib import Path

import pytest

from client.audit.audit_run import as_attack, audit
from client.learning.cancellation import never_cancelled
from protocol.messages.audit import Audit
from strategies.evaluation.membership import AttackFigures
from strategies.evaluation.resampling import Interval
from tests.support.audited_center import pool, target


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Audit, list[int]]:
    folder, done = tmp_path_factory.mktemp("audit"), list[int]()
    return audit("center-a", target(folder), pool(), 4, folder / "kept", never_cancelled, done.append), done


def test_every_attack_is_told_over_the_same_patients(found: tuple[Audit, list[int]]) -> None:
    names = [attack.attack for attack in found[0].attacks]
    assert names == ["likelihood-ratio", "loss-threshold", "gram-sketch", "prototype-ct", "prototype-pet"]
    assert {(attack.members, attack.others, attack.undefined) for attack in found[0].attacks} == {(2, 2, 0)}
    assert all(attack.auc is not None for attack in found[0].attacks)


def test_the_audit_names_the_version_and_how_shadows_were_made(found: tuple[Audit, list[int]]) -> None:
    audited, done = found
    assert (audited.reference, audited.shadows, audited.steps, audited.private) == ("shared/0001", 4, 1, False)
    assert done == [1, 2, 3, 4]


def test_an_attack_that_cannot_be_judged_has_a_reason_and_no_number() -> None:
    none = Interval(None, None, None)
    told = as_attack("gram-sketch", AttackFigures("gram-sketch", 1, 0, 3, none, None, "too few"))
    assert (told.auc, told.told, told.one_percent, told.reason, told.undefined) == (None, None, None, "too few", 3)


def test_nothing_of_a_patient_stands_in_an_audit(found: tuple[Audit, list[int]], tmp_path: Path) -> None:
    text = found[0].model_dump_json()
    assert not [name for name in "abcd" if f'"{name}"' in text]
