from collections.abc import Sequence
from pathlib import Path

import pytest

from client.audit.handed_on import FOLDER, PATIENTS, record_handed_on
from client.audit.pool import Scored
from client.privacy.case_hashes import KEY
from protocol.errors import CaseError
from protocol.messages.audit import AttackName

MINIMUM = 3
OTHERS = ("x", "y", "z")


def hand_on(
    home: Path, members: Sequence[str], others: Sequence[str] = OTHERS, attack: AttackName = "loss-threshold"
) -> None:
    """Each name is a patient, his cases parted by a plus."""
    scored = Scored(*(tuple(tuple(name.split("+")) for name in side) for side in (members, others)))
    record_handed_on(home, "center-a", {attack: scored}, MINIMUM)


def kept(home: Path) -> bytes:
    return (home / FOLDER / PATIENTS).read_bytes()


def test_the_same_patients_may_be_told_of_again(tmp_path: Path) -> None:
    hand_on(tmp_path, ["a", "b", "c"])
    before = kept(tmp_path)
    hand_on(tmp_path, ["c", "b", "a"])
    assert kept(tmp_path) == before


@pytest.mark.parametrize("members", [["a", "b", "c", "d"], ["a", "b"], ["a", "b", "d"], ["a", "b", "c", "d", "e"]])
def test_who_differs_by_few_is_refused_and_nothing_is_written(tmp_path: Path, members: list[str]) -> None:
    hand_on(tmp_path, ["a", "b", "c"])
    before = kept(tmp_path)
    with pytest.raises(CaseError, match=r"who trained differ under loss-threshold, expected none or at least 3"):
        hand_on(tmp_path, members)
    assert kept(tmp_path) == before


def test_one_more_of_the_others_is_refused_though_enough_trained_anew(tmp_path: Path) -> None:
    hand_on(tmp_path, ["a", "b", "c"])
    with pytest.raises(CaseError, match=r"1 patient\(s\) who did not train differ"):
        hand_on(tmp_path, ["a", "b", "c", "d", "e", "f"], [*OTHERS, "w"])


def test_enough_new_patients_may_be_told_of(tmp_path: Path) -> None:
    hand_on(tmp_path, ["a", "b", "c"])
    before = kept(tmp_path)
    hand_on(tmp_path, ["a", "b", "c", "d", "e", "f"])
    assert kept(tmp_path) != before


def test_every_earlier_file_counts(tmp_path: Path) -> None:
    hand_on(tmp_path, ["a", "b", "c"])
    hand_on(tmp_path, ["a", "b", "c", "d", "e", "f"])
    with pytest.raises(CaseError, match="1 patient"):
        hand_on(tmp_path, ["a", "b", "c", "g"])


def test_a_patient_with_a_case_more_is_another_one(tmp_path: Path) -> None:
    hand_on(tmp_path, ["a", "b", "c"])
    with pytest.raises(CaseError, match="1 patient"):
        hand_on(tmp_path, ["a", "b", "c+d"])


def test_another_attack_has_figures_of_its_own(tmp_path: Path) -> None:
    hand_on(tmp_path, ["a", "b", "c"])
    before = kept(tmp_path)
    hand_on(tmp_path, ["a", "b", "c", "d"], attack="prototype-pet")
    assert kept(tmp_path) != before


def test_no_name_stands_there_and_the_key_is_none_of_a_ledger(tmp_path: Path) -> None:
    hand_on(tmp_path, ["patient-one", "patient-two", "patient-three"])
    assert b"patient-" not in kept(tmp_path)
    assert (tmp_path / FOLDER / KEY).stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / KEY).exists()


def test_without_the_key_nothing_is_handed_on(tmp_path: Path) -> None:
    hand_on(tmp_path, ["a", "b", "c"])
    key = tmp_path / FOLDER / KEY
    key.write_bytes(bytes(32))
    with pytest.raises(CaseError, match="another key"):
        hand_on(tmp_path, ["a", "b", "c"])
    key.unlink()
    with pytest.raises(CaseError, match="no key"):
        hand_on(tmp_path, ["a", "b", "c"])


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    hand_on(tmp_path, ["a", "b", "c"])
    path = tmp_path / FOLDER / PATIENTS
    path.write_bytes(kept(tmp_path).replace(b"members", b"others", 1))
    with pytest.raises(CaseError, match="backup"):
        hand_on(tmp_path, ["a", "b", "c"])
