"""What a center says that its patients who train have spent: `concilium-center ledger --privacy --json`, handed on.

The center's own word: nobody else has its ledger, and the file carries no seal.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field, NonNegativeInt, ValidationError

from protocol.errors import CaseError
from protocol.messages.base import NonNegative, Settings
from protocol.storage.parsed_text import parse_json
from protocol.storage.regular_files import read_whole

Name = Annotated[str, Field(max_length=200)]


class SpentAtDelta(Settings):
    """epsilon: of private releases, null without bound; promised, left: null where nothing was at this delta."""

    delta: Annotated[float, Field(gt=0, lt=1)]
    epsilon: NonNegative | None
    promised: NonNegative | None
    left: NonNegative | None


class EntriesOfKind(Settings):
    """How many entries of a kind a ledger has, and how many of them had no mechanism."""

    entries: NonNegativeInt
    without_mechanism: NonNegativeInt


class CurvePoint(Settings):
    """Epsilon after so many releases; null without any bound."""

    entries: NonNegativeInt
    epsilon: NonNegative | None


class LeftBare(Settings):
    """What left without a mechanism, of one kind, when, and how much of it is of patients with a promise."""

    kind: Name
    releases: NonNegativeInt
    of_promised: NonNegativeInt
    since: Name
    until: Name
    studies: tuple[Name, ...]


class SpentPrivacy(Settings):
    """A center's ledger in figures. center: null where its home does not know it; studies: that have entries.

    spent: of private releases alone. without_guarantee: what no epsilon says anything of; earlier versions lack it.
    """

    center: Name | None
    studies: tuple[Name, ...]
    spent: tuple[SpentAtDelta, ...]
    by_kind: dict[Name, EntriesOfKind]
    without_guarantee: tuple[LeftBare, ...] = ()
    curve: tuple[CurvePoint, ...]


def read_spent_privacy(path: Path) -> SpentPrivacy:
    """What a center handed on of its ledger.

    Raises:
        CaseError: there is nothing at `path`, or it is not what the command prints.
    """
    try:
        return SpentPrivacy.model_validate(parse_json(read_whole(path)))
    except (OSError, ValueError, TypeError, ValidationError) as error:
        raise CaseError(
            f"privacy spent {path} cannot be read ({error}); give what `concilium-center ledger --privacy --json` "
            "printed, unchanged"
        ) from error
