"""The two ways a notice takes: a webhook and e-mail, each with an end to its patience.

The webhook gets a JSON object: `text`, which chat programs show, and the parts of the notice by name.
"""

import smtplib
import ssl
import time
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from pathlib import Path

import httpx

from protocol.errors import LaunchError
from server.notices.events import Notice
from server.notices.settings import EmailSettings, NoticeSettings

TIMEOUT_S = 10.0
WHOLE_S = 20.0
"""For a webhook that answers a byte at a time: each byte is within its timeout."""
MOST_ANSWERED = 65_536

Send = Callable[[Notice], None]


def channels(settings: NoticeSettings, study: str) -> Mapping[str, Send]:
    """Channel -> what sends a notice by it; each raises LaunchError, which names what did not work."""
    found: dict[str, Send] = {}
    webhook, email = settings.webhook, settings.email
    if webhook is not None:
        found["webhook"] = lambda told: post(webhook, told, study)
    if email is not None:
        found["email"] = lambda told: mail(email, told, study)
    return found


def text_of(told: Notice, study: str) -> str:
    """A notice as people read it."""
    return f"Concilium, study {study}: {told.title}\n{told.what}.\nWhat to do: {told.remedy}"


def post(url: str, told: Notice, study: str, timeout_s: float = TIMEOUT_S, whole_s: float = WHOLE_S) -> None:
    """Post a notice to a webhook.

    Raises:
        LaunchError: it does not answer in time, or not with a success; the address, often a secret, is not named.
    """
    content = {
        "text": text_of(told, study),
        "study": study,
        "event": told.kind,
        "what": told.what,
        "remedy": told.remedy,
        "urgent": told.urgent,
    }
    until = time.monotonic() + whole_s
    try:
        with httpx.stream("POST", url, json=content, timeout=timeout_s) as answer:
            answer.raise_for_status()
            _read_to_its_end(answer, until)
    except httpx.HTTPStatusError as error:
        raise LaunchError(
            f"the webhook answered {error.response.status_code}; see that notices.toml has its present address"
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise LaunchError(
            f"the webhook was not reached ({type(error).__name__}); see that this machine may call it"
        ) from error


def _read_to_its_end(answer: httpx.Response, until: float) -> None:
    """Read what a success says, and no more of it than is worth waiting for: it was taken already."""
    size = 0
    for piece in answer.iter_raw():
        size += len(piece)
        if time.monotonic() > until or size > MOST_ANSWERED:
            return


def mail(email: EmailSettings, told: Notice, study: str, timeout_s: float = TIMEOUT_S) -> None:
    """Send a notice by e-mail.

    Raises:
        LaunchError: the server does not answer, or refuses.
    """
    message = EmailMessage()
    message["From"], message["To"] = email.sender, ", ".join(email.to)
    message["Subject"] = f"Concilium, {study}: {told.title}"
    message.set_content(text_of(told, study))
    try:
        with _connect(email, timeout_s) as server:
            if email.user:
                server.login(email.user, Path(email.password_file).read_text(encoding="utf-8").strip())
            server.send_message(message)
    except (smtplib.SMTPException, OSError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise LaunchError(
            f"the mail server {email.host}:{email.port} did not take the notice ({reason}); see [email] in notices.toml"
        ) from error


def _connect(email: EmailSettings, timeout_s: float) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if email.security == "tls":
        return smtplib.SMTP_SSL(email.host, email.port, timeout=timeout_s, context=context)
    server = smtplib.SMTP(email.host, email.port, timeout=timeout_s)
    if email.security == "starttls":
        server.starttls(context=context)
    return server
