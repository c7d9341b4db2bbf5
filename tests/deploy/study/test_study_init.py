"""`study init`: from a study file to a directory that centers can be enrolled in."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from deploy.study.study_init import init_study, outlook
from protocol.errors import StorageError, StudyError
from protocol.messages.settings import Split
from server.study.coordinator_settings import read_coordinator
from server.study.directory import read_prepared
from server.study.file import read_study
from tests.support.small_study import write_study


def test_a_study_is_prepared_and_its_federation_has_settings_and_certificates(tmp_path: Path) -> None:
    file = write_study(tmp_path / "study.toml")
    directory = init_study(file, tmp_path / "root", "fl.example.org:443", consortium="C")
    assert stat.S_IMODE(directory.root.stat().st_mode) == 0o700
    assert read_prepared(directory.root).study.name == "small"
    settings = read_coordinator(directory.coordinator)
    assert (settings.consortium, settings.endpoint) == ("C", "fl.example.org:443")
    assert directory.authority_certificate.exists()
    assert directory.server_certificate.exists()
    again = init_study(file, tmp_path / "root", "fl.example.org:443")
    assert read_coordinator(again.coordinator) == settings


def test_what_small_centers_would_withhold_is_told_with_what_it_does_to_the_gate(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path / "study.toml"))
    told = outlook(study.model_copy(update={"split": Split()}))
    assert told[0] == "with the default --minimum-cases 5, a center of"
    assert told[1].startswith(
        "  8 patients: train 5, validation 1, test 2; withheld: validation scores and the comparison"
    )
    assert any("the study stops there" in line for line in told)
    strategy = study.strategy.model_copy(update={"gate": False})
    assert not any("gate = false" in line for line in outlook(study.model_copy(update={"strategy": strategy})))


def test_the_authoritys_key_lies_beside_the_study(tmp_path: Path) -> None:
    directory = init_study(write_study(tmp_path / "study.toml"), tmp_path / "root", "fl.example.org:443")
    key = tmp_path / "root.authority" / "ca.key"
    assert list(tmp_path.rglob("ca.key")) == [key]
    assert (stat.S_IMODE(key.stat().st_mode), stat.S_IMODE(key.parent.stat().st_mode)) == (0o600, 0o700)
    assert directory.authority_certificate.read_bytes() == (key.parent / "ca.crt").read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("name", ["root", "root/authority", "root.authority", "root.authority/ca.key"])
def test_no_study_is_made_where_another_account_was_before(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir(parents=True)
    os.chown(tmp_path / name, 65534, -1)
    with pytest.raises(StorageError, match=f"{name} belongs to account number 65534, expected 0"):
        init_study(write_study(tmp_path / "study.toml"), tmp_path / "root", "fl.example.org:443")
    assert not [path for path in tmp_path.rglob("*.key") if path.is_file()]


def test_a_directory_that_was_open_is_closed(tmp_path: Path) -> None:
    for name in ("root", "root.authority"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    init_study(write_study(tmp_path / "study.toml"), tmp_path / "root", "fl.example.org:443")
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("root", "root.authority")] == [0o700] * 2


@pytest.mark.parametrize(
    ("endpoint", "given", "message"),
    [
        ("fl.example.org", {}, "--endpoint: "),
        ("fl.example.org:443", {"consortium": ""}, "these settings cannot be used:\n  consortium: "),
    ],
)
def test_settings_that_cannot_be_used_leave_nothing(
    tmp_path: Path, endpoint: str, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        init_study(write_study(tmp_path / "study.toml"), tmp_path / "root", endpoint, **given)
    assert not (tmp_path / "root").exists()
