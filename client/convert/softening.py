"""What is wrong with a part of a case, where the case goes on without it."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from client.data.checks import Issue


def soften(issues: Iterable[Issue]) -> Iterator[Issue]:
    """Errors of a part that is left out, as warnings: what is left of the case is right."""
    for issue in issues:
        if issue.fatal:
            told = f"{issue.message}; the case goes on without {issue.file or 'it'}"
            yield replace(issue, grade="warning", message=told)
        else:
            yield issue
