"""The bundle: what is in it, and that equal files give equal bytes."""

import io
import shutil
import zipfile
from pathlib import Path

import pytest

from protocol.enrolment.kit import BUNDLE_FILES
from protocol.errors import LaunchError
from server.centers.bundle import BUNDLE_APP, bundle_bytes, bundle_sha256


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLE_APP, tmp_path / "flower-app"))


def test_the_bundle_holds_the_listed_files_and_no_code() -> None:
    with zipfile.ZipFile(io.BytesIO(bundle_bytes())) as archive:
        assert set(archive.namelist()) == BUNDLE_FILES
    assert not [name for name in BUNDLE_FILES if name.endswith(".py")]


def test_the_hash_is_the_same_wherever_and_whenever_it_is_built(app: Path) -> None:
    (app / "pyproject.toml").touch()
    assert bundle_sha256(app) == bundle_sha256() == bundle_sha256()


def test_one_changed_option_changes_the_hash(app: Path) -> None:
    text = (app / "pyproject.toml").read_text()
    (app / "pyproject.toml").write_text(text.replace('study-directory = ""', 'study-directory = "/x"'))
    assert bundle_sha256(app) != bundle_sha256()


def test_a_file_that_found_its_way_into_the_app_is_an_error(app: Path) -> None:
    (app / "extra.py").write_text("import os")
    with pytest.raises(LaunchError, match=r"holds .*'extra.py'.*expected"):
        bundle_bytes(app)


def test_an_app_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="install concilium again"):
        bundle_bytes(tmp_path / "nowhere")
