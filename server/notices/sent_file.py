"""`ROOT/notices.json`: which notice was sent by which channel, so that each goes out once, over all starts."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, ValidationError

from protocol.errors import LaunchError
from server.notices.events import Notice
from server.runs.state_files import Written, write_state

AGAIN = ("disk-nearly-full/",)
"""Kinds that may come a second time under the same name: forgotten as soon as they are over."""


class Sent(Written):
    """Key of a notice -> channel -> when it was sent."""

    notices: Mapping[str, Mapping[str, AwareDatetime]] = {}

    def has(self, told: Notice, channel: str) -> bool:
        """Whether a notice went out by a channel."""
        return channel in self.notices.get(told.key, {})

    def having(self, told: Notice, channel: str, at: datetime) -> "Sent":
        """With one more."""
        channels = {**self.notices.get(told.key, {}), channel: at}
        return Sent(notices={**self.notices, told.key: channels})

    def without_past(self, holding: Iterable[Notice]) -> "Sent":
        """Without those that are over and may come again."""
        keys = {told.key for told in holding}
        kept = {key: sent for key, sent in self.notices.items() if key in keys or not key.startswith(AGAIN)}
        return Sent(notices=kept)


def read_sent(path: Path) -> Sent:
    """What was sent; nothing where there is no file.

    Raises:
        LaunchError: it is damaged.
    """
    try:
        return Sent.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Sent()
    except (OSError, ValueError, ValidationError) as error:
        raise LaunchError(
            f"{path} cannot be read ({error}); remove it: every notice that still holds is then sent once more"
        ) from error


def write_sent(path: Path, sent: Sent) -> None:
    """Replace the file.

    Raises:
        StorageError: the disk refuses.
    """
    write_state(path, sent)
