"""What a center may say of itself: one table of names, types and bounds, which both sides read.

A fact of another name or type, or outside its bounds, leaves no center and is taken from none.
"""

import re
from collections.abc import Iterator, Mapping

from protocol.plain_text import SHOWN_OF_A_NAME, shown

MAXIMUM_CASES = 1_000_000
"""More cases than any hospital has; a count above it is an error or a lie."""
MISSING_CASES = "missing_cases"
"""How many of the cases that a center registered with are gone or unreadable since; said with what it answers."""
FACTS: Mapping[str, type] = {
    "cases": int,
    "train_cases": int,
    "validation_cases": int,
    "test_cases": int,
    "refused_cases": int,
    MISSING_CASES: int,
    "modalities": str,
    "device": str,
    "precision": str,
    "version": str,
}
PARTS = ("train", "validation", "test")
FACT_TEXT = re.compile(r"[a-z0-9.+:-]{0,40}")


def is_case_count(value: object) -> bool:
    """Whether a value is a number of cases that somebody may have."""
    return type(value) is int and 0 <= value <= MAXIMUM_CASES


def fact_findings(facts: Mapping[str, object]) -> Iterator[str]:
    """What of a center's facts is not in the table or not within its bounds; the values stay out of the findings."""
    if len(facts) > len(FACTS):
        yield f"has {len(facts)} facts, the table has {len(FACTS)}"
        return
    for name, value in facts.items():
        if not _is_fact(name, value):
            yield f"fact '{shown(name, SHOWN_OF_A_NAME)}' is not in the table or out of bounds, allowed: {_allowed()}"


def case_finding(facts: Mapping[str, object]) -> str:
    """The parts of whose cases a registration says no number; "" where it says all."""
    missing = [part for part in PARTS if not is_case_count(facts.get(f"{part}_cases"))]
    return f"says no number of {', '.join(missing)} cases, expected 0 to {MAXIMUM_CASES}" if missing else ""


def _is_fact(name: str, value: object) -> bool:
    kind = FACTS.get(name)
    if kind is int:
        return is_case_count(value)
    return kind is str and isinstance(value, str) and FACT_TEXT.fullmatch(value) is not None


def _allowed() -> str:
    counts = [name for name, kind in FACTS.items() if kind is int]
    texts = [name for name, kind in FACTS.items() if kind is str]
    return f"{', '.join(counts)} from 0 to {MAXIMUM_CASES}; {', '.join(texts)} as small letters, digits and '.+:-'"
