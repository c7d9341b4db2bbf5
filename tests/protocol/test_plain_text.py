"""A text from outside reaches a log or a screen as one printable line of bounded length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from protocol.plain_text import LINE, MAXIMUM_LABEL, SHOWN, SHOWN_LINES, Label, shown, shown_lines

LABELS: TypeAdapter[str] = TypeAdapter(Label)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Müller, CT 3", "Müller, CT 3"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("cases\n2026 INFO complete\r", "cases\\n2026 INFO complete\\r"),
        ("a\u202eb\u200bc\x00", "a\\u202eb\\u200bc\\x00"),
        ("\ud800", "\\ud800"),
        ("", ""),
        (1.5, "1.5"),
    ],
)
def test_what_a_terminal_would_act_on_is_written_out(text: object, plain: str) -> None:
    assert shown(text) == plain


def test_a_long_text_is_cut_and_says_how_long_it_was() -> None:
    assert shown("x" * 1_000_000, 5) == "xxxxx... (1000000 characters)"


@given(st.text(st.characters(), max_size=2 * SHOWN))
def test_whatever_comes_is_one_printable_line_of_bounded_length(text: str) -> None:
    plain = shown(text)
    assert plain.isprintable()
    assert len(plain) <= 10 * SHOWN + 40


@given(st.text(st.sampled_from("a\n\x1b"), max_size=4 * SHOWN_LINES))
def test_lines_of_ours_stay_lines_and_few(text: str) -> None:
    lines = shown_lines(text).split("\n")
    assert len(lines) <= SHOWN_LINES + 1
    assert all(line.isprintable() and len(line) <= 10 * LINE + 40 for line in lines)


def test_a_label_is_printable_and_short() -> None:
    assert LABELS.validate_python("Kopf-Hals, Stufe 2") == "Kopf-Hals, Stufe 2"
    for text in ("a\nb", "a\u202eb", "x" * (MAXIMUM_LABEL + 1)):
        with pytest.raises(ValidationError):
            LABELS.validate_python(text)
