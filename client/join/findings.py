"""What one check before joining found."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True)
class Finding:
    """The result of a check in a sentence, and what to do where it is not ok."""

    status: Status
    text: str
    remedy: str = ""


def ok(text: str) -> Finding:
    """All is well."""
    return Finding("ok", text)


def warning(text: str, remedy: str) -> Finding:
    """Joining goes on, and somebody should look."""
    return Finding("warning", text, remedy)


def failure(text: str, remedy: str) -> Finding:
    """Joining cannot go on."""
    return Finding("failed", text, remedy)


def skip(text: str) -> Finding:
    """Nothing can be said before an earlier finding is mended."""
    return Finding("skipped", text)
