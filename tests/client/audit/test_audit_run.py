from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.audit import audit_run
from client.audit.audit_run import audit
from client.audit.shadows import Shadows
from client.learning.cancellation import never_cancelled
from protocol.messages.audit import Audit
from protocol.messages.privacy import Privacy
from tests.support.audited_center import pool, target


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Audit, list[int]]:
    folder, done = tmp_path_factory.mktemp("audit"), list[int]()
    return audit("center-a", target(folder), pool(), 4, folder / "kept", never_cancelled, done.append).found, done


def test_every_attack_is_told_over_the_same_patients(found: tuple[Audit, list[int]]) -> None:
    names = [attack.attack for attack in found[0].attacks]
    assert names == ["likelihood-ratio", "loss-threshold", "gram-sketch", "prototype-ct", "prototype-pet"]
    assert {(attack.members, attack.others, attack.undefined) for attack in found[0].attacks} == {(2, 2, 0)}
    assert all(attack.auc is not None for attack in found[0].attacks)


def test_the_audit_names_the_version_and_how_shadows_were_made(found: tuple[Audit, list[int]]) -> None:
    audited, done = found
    assert (audited.reference, audited.shadows, audited.steps, audited.private) == ("shared/0001", 4, 1, False)
    assert done == [1, 2, 3, 4]


def test_a_statistic_tells_how_badly_it_reconstructs_both_groups(found: tuple[Audit, list[int]]) -> None:
    told = {attack.attack: (attack.error_of_members, attack.error_of_others) for attack in found[0].attacks}
    assert told["loss-threshold"] == (None, None)
    members, others = told["gram-sketch"]
    assert members is not None
    assert others is not None
    assert 0 < members.low < members.value < others.value < others.high


def test_of_a_private_study_no_statistic_leaves_and_none_is_attacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attacked = target(tmp_path)
    privacy = Privacy(epsilon=8, delta=1e-3, clip_norm=1.0)
    settings = attacked.network.settings.model_copy(update={"privacy": privacy})
    shadows = Shadows(np.ones((4, 4)), np.array([[True, True, False, False], [False, False, True, True]] * 2))
    monkeypatch.setattr(audit_run, "train_shadows", lambda *_: shadows)
    private = replace(attacked, network=replace(attacked.network, settings=settings))
    cases = pool().cases
    looked_at = replace(pool(), patients=tuple(f"patient-{case.name}" for case in cases))
    both = audit("center-a", private, looked_at, 4, tmp_path, never_cancelled, print)
    found = both.found
    assert (found.private, [attack.attack for attack in found.attacks]) == (
        True,
        ["likelihood-ratio", "loss-threshold"],
    )
    assert both.names == {*looked_at.patients, *(case.name for case in cases)}
    assert (both.stage, both.server_round) == (attacked.entry.stage, attacked.entry.server_round)


def test_nothing_of_a_patient_stands_in_an_audit(found: tuple[Audit, list[int]], tmp_path: Path) -> None:
    text = found[0].model_dump_json()
    assert not [name for name in "abcd" if f'"{name}"' in text]
