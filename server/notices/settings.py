"""Where notices go: `ROOT/notices.toml`, written by a person.

webhook = "https://chat.example/hooks/..."      # optional: gets a JSON object for each notice

[email]                                         # optional
host = "smtp.example"
port = 587
security = "starttls"                           # or "tls", or "none" within one machine
user = "concilium"                              # optional, with password_file
password_file = "/etc/concilium/smtp.password"
sender = "concilium@example"
to = ["coordinator@example"]
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from protocol.errors import LaunchError
from protocol.messages.base import Settings
from protocol.messages.settings import findings
from protocol.storage.parsed_text import UnreadableTextError, read_toml

Address = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]


class EmailSettings(Settings):
    """One SMTP server, and who writes to whom."""

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(gt=0, lt=65536)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password_file: str = ""
    sender: Address
    to: Annotated[tuple[Address, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _has_both_or_neither(self) -> Self:
        if bool(self.user) != bool(self.password_file):
            raise ValueError("user and password_file stand together or not at all")
        if self.user and self.security == "none":
            raise ValueError('a password is not sent in the clear: give security = "starttls" or "tls"')
        return self


class NoticeSettings(Settings):
    """The file; neither is nobody told."""

    webhook: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    email: EmailSettings | None = None


def read_notice_settings(path: Path) -> NoticeSettings:
    """What the file says; nothing where there is none.

    Raises:
        LaunchError: it cannot be read, is no TOML, or holds an unknown key or a wrong value.
    """
    try:
        return NoticeSettings.model_validate(read_toml(path))
    except FileNotFoundError:
        return NoticeSettings()
    except (OSError, UnreadableTextError) as error:
        raise LaunchError(f"{path} cannot be read ({error}); correct it, or remove it to have no notices") from error
    except ValidationError as error:
        found = "\n  ".join(findings(error))
        raise LaunchError(f"{path} has {error.error_count()} problem(s):\n  {found}") from error
