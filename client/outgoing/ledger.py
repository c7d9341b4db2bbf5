"""The outgoing logs of a center read back: everything that left, by time, and every line that cannot be read.

A center's home has two logs, `trainer/outgoing.jsonl` and `node/outgoing.jsonl`; a plain trainer's home has its
`outgoing.jsonl` directly in it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from client.outgoing.outgoing_log import LOG
from protocol.errors import ConciliumError
from protocol.storage.chain import head_path, lines_in
from protocol.storage.chain_check import Chain, check_chain
from protocol.storage.torn_line import count_torn, torn_path

PLACES = ("trainer", "node", ".")
"""Folders of a home that may hold a log."""


class LedgerError(ConciliumError):
    """A home whose outgoing logs cannot be shown."""

    code = "ledger"


class SentLine(BaseModel):
    """What a line of the outgoing log says of one reply (`outgoing_log`); unknown fields are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    time: AwareDatetime
    kind: str
    error: str = ""
    stage: str = ""
    server_round: int = 0
    again: bool = False
    tensors: int = 0
    bytes: int = 0
    text_bytes: int = 0
    content_sha256: str = ""
    text_sha256: str = ""
    held_back: tuple[str, ...] = ()
    by: str = ""


@dataclass(frozen=True)
class Unreadable:
    """A line that is no line of a log: the file, counted from 1 within it."""

    file: str
    line: int


@dataclass(frozen=True)
class Ledger:
    """All lines of a center's logs, the earliest first; `by` of each says whose log it is in. chains: by the same.

    torn: log -> how many lines a crash or a full disk cut off, which are kept beside it; only of logs that have some.
    """

    sent: tuple[SentLine, ...]
    unreadable: tuple[Unreadable, ...]
    chains: Mapping[str, Chain]
    torn: Mapping[Path, int] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether every log stands as it was written, as far as its head can say."""
        return all(chain.broken is None for chain in self.chains.values())

    def find_head(self, head: str) -> tuple[str, int] | None:
        """Whose log once had this head, and after how many of its lines; None where none had."""
        places = ((by, chain.states.index(head)) for by, chain in self.chains.items() if head in chain.states)
        return next(places, None)


def read_ledger(home: Path) -> Ledger:
    """Read the logs of a center's home.

    Raises:
        LedgerError: there is none, or one cannot be opened.
    """
    paths = {place: home / place / LOG for place in PLACES}
    logs = {place: log for place, log in paths.items() if log.exists() or head_path(log).exists()}
    if not logs:
        raise LedgerError(
            f"{home} holds no {LOG}, neither directly nor under trainer/ or node/: nothing has left from there, or it "
            "is not a center's home"
        )
    found = [part for place, log in logs.items() for part in _parts(place, log)]
    sent = [part for part in found if isinstance(part, SentLine)]
    return Ledger(
        sent=tuple(sorted(sent, key=lambda line: line.time)),
        unreadable=tuple(part for part in found if isinstance(part, Unreadable)),
        chains={_side(place): _check(log) for place, log in logs.items()},
        torn={log: count for log in logs.values() if (count := _torn(log))},
    )


def totals(sent: Iterable[SentLine]) -> dict[str, dict[str, int]]:
    """Kind -> replies, those sent again, errors, those with something withheld, tensors and bytes of all of them."""
    found: dict[str, Counter[str]] = {}
    for line in sent:
        found.setdefault(line.kind, Counter()).update(
            replies=1,
            again=int(line.again),
            errors=int(bool(line.error)),
            withheld=int(bool(line.held_back)),
            tensors=line.tensors,
            bytes=line.bytes + line.text_bytes,
        )
    return {kind: dict(found[kind]) for kind in sorted(found)}


def as_json(ledger: Ledger, shown: Sequence[SentLine]) -> dict[str, Any]:
    """The lines to show, the totals of all lines, what could not be read, and the state of each log's chain."""
    return {
        "sent": [line.model_dump(mode="json") for line in shown],
        "totals": totals(ledger.sent),
        "unreadable": [asdict(line) for line in ledger.unreadable],
        "cut_off": {str(torn_path(log)): count for log, count in ledger.torn.items()},
        "chains": {by: _chain_json(chain) for by, chain in ledger.chains.items()},
    }


def _chain_json(chain: Chain) -> dict[str, Any]:
    broken = None if chain.broken is None else asdict(chain.broken)
    return {"log": str(chain.log), "lines": chain.lines, "older": chain.older, "head": chain.head, "broken": broken}


def _check(log: Path) -> Chain:
    try:
        return check_chain(log)
    except OSError as error:
        raise _refusal(log, error) from error


def _torn(log: Path) -> int:
    try:
        return count_torn(log)
    except OSError as error:
        raise _refusal(torn_path(log), error) from error


def _parts(place: str, log: Path) -> Iterator[SentLine | Unreadable]:
    try:
        lines = lines_in(log.read_bytes()) if log.exists() else []
    except OSError as error:
        raise _refusal(log, error) from error
    for number, line in enumerate(lines, start=1):
        try:
            yield SentLine.model_validate_json(line).model_copy(update={"by": _side(place)})
        except ValidationError:
            yield Unreadable(str(log), number)


def _side(place: str) -> str:
    """Whose log it is; a plain trainer's home has its own directly in it."""
    return "trainer" if place == "." else place


def _refusal(log: Path, error: OSError) -> LedgerError:
    return LedgerError(f"{log} cannot be read ({error.strerror}); run as the user that owns it")
