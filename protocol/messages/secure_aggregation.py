"""What a study asks for where its coordinator is to see sums of centers alone."""

from typing import Annotated, Literal

from pydantic import Field

from protocol.messages.base import Settings

Scores = Literal["by-center", "summed"]


def _is_usual(scores: object) -> bool:
    return scores == "by-center"


class SecureAggregation(Settings):
    """That the coordinator sees sums alone.

    fewest: centers that must stand behind each of them. scores: whether scores and comparisons leave center by center,
    as in any study, or summed as well; the usual answer is no part of a study's digest.
    """

    fewest: Annotated[int, Field(ge=3, le=64)] = 3
    scores: Annotated[Scores, Field(exclude_if=_is_usual)] = "by-center"


def sums_scores(secure: SecureAggregation | None) -> bool:
    """Whether no single center's score or comparison may leave it."""
    return secure is not None and secure.scores == "summed"
