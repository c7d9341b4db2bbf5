"""What arrives at a real mail server and a real webhook on loopback, and what is said where none does."""

from pathlib import Path

import pytest

from protocol.errors import LaunchError
from server.notices.channels import channels, mail, post
from server.notices.events import trial
from server.notices.settings import EmailSettings, NoticeSettings
from tests.support.receivers import mail_server, silent_server, webhook

pytestmark = pytest.mark.network


def letters(port: int, **more: object) -> EmailSettings:
    given = {"host": "127.0.0.1", "port": port, "security": "none", "sender": "a@x.example", "to": ["b@x.example"]}
    return EmailSettings.model_validate({**given, **more})


def test_a_mail_has_subject_event_and_remedy():
    with mail_server() as (port, messages):
        mail(letters(port), trial(), "roots")
    (message,) = messages
    assert "From: a@x.example\nTo: b@x.example\nSubject: Concilium, roots: a trial" in message
    assert "What to do: Nothing: notices of this study arrive where you read this." in message


def test_a_mail_server_that_refuses_is_named():
    with mail_server(refuse="550 no") as (port, _), pytest.raises(LaunchError, match="did not take the notice"):
        mail(letters(port), trial(), "roots")


def test_a_webhook_gets_a_text_and_the_parts():
    with webhook() as (url, posted):
        post(url, trial(), "roots")
    (told,) = posted
    assert told["text"].startswith("Concilium, study roots: a trial\n")
    assert (told["event"], told["study"], told["urgent"]) == ("trial", "roots", False)


def test_a_webhook_that_refuses_is_told_without_its_address():
    with webhook(status=404) as (url, _), pytest.raises(LaunchError, match="the webhook answered 404") as found:
        post(url, trial(), "roots")
    assert "127.0.0.1" not in str(found.value)


def test_what_never_answers_is_left_after_its_timeout():
    with silent_server() as port:
        with pytest.raises(LaunchError, match=r"was not reached \(ReadTimeout\)"):
            post(f"http://127.0.0.1:{port}/", trial(), "roots", timeout_s=0.05)
        with pytest.raises(LaunchError, match="did not take the notice"):
            mail(letters(port), trial(), "roots", timeout_s=0.05)


def test_only_what_was_named_is_a_channel(tmp_path: Path):
    assert channels(NoticeSettings(), "roots") == {}
    both = NoticeSettings(webhook="http://127.0.0.1:1/", email=letters(25))
    assert list(channels(both, "roots")) == ["webhook", "email"]
