"""What a message may say outside of the private folder: nothing that names a patient, a date, a UID or a source.

Readers write their messages without any of these; this is the second lock, since a library's own words may hold a path.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from client.data.checks import Issue

SHORTEST_WORD = 4
UID_OR_DATE = re.compile(r"\d+(\.\d+){5,}|(?<!\d)(19|20)\d{6}(?!\d)")
WITHHELD = "(withheld)"


def private_words(names: Iterable[str], files: Iterable[Path]) -> tuple[str, ...]:
    """What may not leave: names of four characters and more, and the paths and folders of the source's files."""
    words = {word for name in names for word in (name, *re.split(r"[\s^,;=]+", name)) if len(word) >= SHORTEST_WORD}
    folders = {str(file.parent) for file in files}
    return tuple(sorted(words | {folder for folder in folders if len(folder) >= SHORTEST_WORD}))


def withhold(issue: Issue, words: Sequence[str]) -> Issue:
    """The issue without source; where its words name what may not leave, they point to the private folder instead."""
    if is_discreet(f"{issue.message} {issue.file} {issue.remedy}", words):
        return replace(issue, source="")
    step = "read its words in issues.json of the private folder"
    message = f"case '{issue.case}': found {issue.code}; {step}" if issue.case else f"found {issue.code}; {step}"
    return Issue(issue.code, issue.case, message, issue.grade, remedy=step)


def withhold_name(name: str, words: Sequence[str]) -> str:
    """The name of a contour, unless it names what may not leave."""
    return name if is_discreet(name, words) else WITHHELD


def is_discreet(text: str, words: Sequence[str]) -> bool:
    """Whether a text holds neither a UID or date nor any of the words, whatever their capitals."""
    folded = text.casefold()
    return UID_OR_DATE.search(text) is None and not any(word.casefold() in folded for word in words)
