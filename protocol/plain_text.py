"""Texts from outside as a log, a screen or a page may show them: one line, printable, short.

Whatever a terminal, a log reader or a text editor would act on (colours, line breaks, right-to-left overrides,
characters of no width) is written as Python writes it in a literal.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

SHOWN, SHOWN_LINES, LINE = 200, 20, 400
MAXIMUM_LABEL = 200
SHOWN_OF_A_NAME = 40


def shown(text: object, at_most: int = SHOWN) -> str:
    """A text from outside on one line of at most so many of its characters."""
    whole = str(text)
    plain = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in whole[:at_most]
    )
    return plain if len(whole) <= at_most else f"{plain}... ({len(whole)} characters)"


def shown_lines(text: object) -> str:
    """A text of our own that quotes from outside: its first lines, each as `shown`."""
    lines = str(text)[: LINE * SHOWN_LINES].split("\n")
    more = [f"... and {len(lines) - SHOWN_LINES} more line(s)"] if len(lines) > SHOWN_LINES else []
    return "\n".join([*(shown(line, LINE) for line in lines[:SHOWN_LINES]), *more])


def _check_label(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds characters that cannot be shown; use letters, digits, spaces and punctuation")
    return text


Label = Annotated[str, Field(max_length=MAXIMUM_LABEL), AfterValidator(_check_label)]
"""A name that people read: on one line, printable, at most 200 characters."""
