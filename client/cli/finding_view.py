"""Findings on the screen: one way to count them, to list them and to say nothing of a case, for all commands."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console

from client.data.checks import GRADES, Grade, Issue

PIPED_WIDTH = 200
MOST_OF_A_KIND: Mapping[Grade, int] = {"error": 1000, "warning": 10, "note": 3}
"""How many findings of one code are written out; the rest is counted, and in --json."""
NOTHING = "-"


def open_console() -> Console:
    """Standard output; a path or name in brackets is no markup there, and a pipe has no width."""
    terminal = Console()
    return Console(width=terminal.width if terminal.is_terminal else PIPED_WIDTH, markup=False, emoji=False)


def print_lines(console: Console, lines: Iterable[str]) -> None:
    """Each line as it is, whatever its length and the numbers in it."""
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)


def count_grades(grades: Iterable[str]) -> dict[Grade, int]:
    """How many findings there are of each grade."""
    counts = Counter(grades)
    return {grade: counts[grade] for grade in GRADES}


def all_counts(counts: Mapping[Grade, int]) -> str:
    """Such as "1 error, 0 warnings, 3 notes"."""
    return ", ".join(_plural(counts[grade], grade) for grade in GRADES)


def few_counts(counts: Mapping[Grade, int]) -> str:
    """Such as "1 error, 3 notes", for the place of one case; "-" where nothing was found."""
    return ", ".join(_plural(counts[grade], grade) for grade in GRADES if counts[grade]) or NOTHING


def issue_lines(issues: Sequence[Issue]) -> list[str]:
    """The findings, errors first, those of one code together; of many alike the first few."""
    lines = []
    for grade in GRADES:
        codes = dict.fromkeys(issue.code for issue in issues if issue.grade == grade)
        for code in codes:
            alike = [issue for issue in issues if (issue.grade, issue.code) == (grade, code)]
            most = MOST_OF_A_KIND[grade]
            lines.append(f"{grade} {code}: {len(alike)}")
            lines += [f"  {issue.message}" for issue in alike[:most]]
            lines += [f"  and {len(alike) - most} more; --json lists them"] if len(alike) > most else []
    return lines


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
