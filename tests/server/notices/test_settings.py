"""`notices.toml`: what it may say, and what is refused by name."""

from pathlib import Path

import pytest

from protocol.errors import LaunchError
from server.notices.settings import NoticeSettings, read_notice_settings

EMAIL = '[email]\nhost = "smtp.example"\nsender = "a@x.example"\nto = ["b@x.example"]\n'


def read(folder: Path, text: str) -> NoticeSettings:
    (folder / "notices.toml").write_text(text)
    return read_notice_settings(folder / "notices.toml")


def test_without_a_file_nobody_is_told(tmp_path: Path):
    assert read_notice_settings(tmp_path / "notices.toml") == NoticeSettings()


def test_webhook_and_mail_have_safe_defaults(tmp_path: Path):
    found = read(tmp_path, f'webhook = "https://chat.example/x"\n{EMAIL}')
    assert found.email is not None
    assert (found.webhook, found.email.port, found.email.security) == ("https://chat.example/x", 587, "starttls")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("webhok = 'x'", "webhok"),
        ('webhook = "file:///etc"', "webhook"),
        (EMAIL + 'user = "me"', "user and password_file"),
        (EMAIL + 'user = "me"\npassword_file = "x"\nsecurity = "none"', "in the clear"),
        (EMAIL.replace('["b@x.example"]', "[]"), "to"),
        ("webhook = ", "cannot be read"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, named: str):
    with pytest.raises(LaunchError, match=named):
        read(tmp_path, text)
