"""The password of the page: kept as a hash, for its owner alone."""

from pathlib import Path

import pytest

from protocol.errors import LaunchError
from server.dashboard.password_file import read_password, write_password


def test_the_password_is_known_again_and_stands_nowhere(tmp_path: Path):
    file = tmp_path / "mlflow" / "dashboard.login"
    write_password(file, "a long password")
    assert read_password(file).matches("a long password")
    assert not read_password(file).matches("a long passwor")
    assert "password" not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_a_short_one_is_refused(tmp_path: Path):
    with pytest.raises(LaunchError, match="has 11 characters, expected 12 or more"):
        write_password(tmp_path / "login", "elevenchars")


@pytest.mark.parametrize("content", ["", "{}", '{"salt": "zz", "scrypt": "00"}'])
def test_a_file_that_is_none_is_named_with_what_to_do(tmp_path: Path, content: str):
    (tmp_path / "login").write_text(content)
    with pytest.raises(LaunchError, match=r"it is damaged.*--set-password"):
        read_password(tmp_path / "login")
    with pytest.raises(LaunchError, match="No such file"):
        read_password(tmp_path / "none")
