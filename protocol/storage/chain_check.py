"""What the chain of a log says of it: whole, or which line is the first that is not as it was written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from protocol.storage.chain import LOST, START, Head, Link, advance, head_path, lines_in, link_of, read_head
from protocol.storage.torn_line import is_whole

NO_PLACE = "it has no place in the chain: no program that keeps one wrote it"
TRIES = 5
"""A log that grows between two looks is looked at again."""


@dataclass(frozen=True)
class Break:
    """The first line, counted from 1, that does not stand as it was written, and what was found."""

    line: int
    found: str


@dataclass(frozen=True)
class Chain:
    """What became of one log.

    lines: all of it. older: lines at its beginning that were written before it was chained; since then they are covered
    too. head: the state after the last line, as the head's file has it; "" where there is none. broken: the first one.
    states: the state before the first line and after each.
    """

    log: Path
    lines: int
    older: int
    head: str
    broken: Break | None
    states: tuple[str, ...]


def check_chain(log: Path) -> Chain:
    """Check a log against itself and its head.

    Raises:
        OSError: it cannot be read.
    """
    head, data = _look(log)
    lines = lines_in(data)
    links = [link_of(line) for line in lines]
    older = next((place for place, link in enumerate(links) if link), len(lines))
    states = [START]
    for line in lines:
        states.append(advance(states[-1], [line]))
    broken = next(_breaks(lines, links, head, data), None)
    if broken is None and head is None and head_path(log).exists():
        broken = Break(len(lines), f"the head {head_path(log)} is damaged")
    return Chain(log, len(lines), older, head.chain if head else "", broken, tuple(states))


def _look(log: Path) -> tuple[Head | None, bytes]:
    """Head and log of one moment; a log that is gone has no bytes."""
    for _ in range(TRIES):
        head = read_head(log)
        data = log.read_bytes() if log.exists() else b""
        if read_head(log) == head:
            break
    return head, data


def _breaks(lines: Sequence[bytes], links: Sequence[Link | None], head: Head | None, data: bytes) -> Iterator[Break]:
    """Every break, the first one first."""
    chained = [(place, link) for place, link in enumerate(links) if link]
    if chained:
        yield from _before(lines, *chained[0])
        yield from _between(lines, chained)
    yield from _at_the_end(lines, chained, head, data)


def _before(lines: Sequence[bytes], place: int, first: Link) -> Iterator[Break]:
    """What is wrong before the first chained line."""
    if first.number != 1:
        yield Break(place + 1, f"it is number {first.number}, expected 1: what was before it is missing")
    elif first.chain != advance(START, lines[:place]):
        yield Break(1, f"one of the {place} line(s) before the first chained one was changed, added or removed")


def _between(lines: Sequence[bytes], chained: Sequence[tuple[int, Link]]) -> Iterator[Break]:
    """What is wrong between chained lines; of two neighbours that do not fit, the one that fits no other is named."""
    fits = [_leads_to(lines, one, other) for one, other in pairwise(chained)]
    for index, ((place, link), (next_place, next_link)) in enumerate(pairwise(chained)):
        if next_link.chain == advance(link.chain, [*lines[place:next_place], LOST]):
            yield Break(next_place + 1, "the head was lost before it was written; lines before it may be missing")
        elif next_link.number != link.number + 1:
            found = f"number {next_link.number} comes after number {link.number}"
            yield Break(place + 2, f"{found}: lines were changed, removed, added or moved")
        elif fits[index]:
            if stranger := _whole_among(lines[place + 1 : next_place]):
                yield Break(place + 1 + stranger, NO_PLACE)
        elif next_link.chain == advance(link.chain, [lines[place]]):
            yield Break(place + 2, "it was added")
        else:
            next_fits_on = index + 1 >= len(fits) or fits[index + 1]
            yield Break((place if next_fits_on else next_place) + 1, "it was changed, or something was added after it")


def _at_the_end(
    lines: Sequence[bytes], chained: Sequence[tuple[int, Link]], head: Head | None, data: bytes
) -> Iterator[Break]:
    """What is wrong with the last line, or after it: crashes may leave lines that the head does not know yet."""
    if head is None:
        if chained:
            yield Break(len(lines), "the head of the chain is missing: lines after it may have been removed")
        return
    after = chained[-1][0] + 1 if chained else 0
    if len(data) < head.bytes or len(chained) < head.lines:
        found = f"{len(chained)} chained line(s), the head knows {head.lines}"
        yield Break(after + 1, f"{found}: the last ones were changed, removed or cut")
        return
    known = len(lines_in(data[: head.bytes]))
    vouched = [(place, link) for place, link in chained if place < known]
    place, link = vouched[-1] if vouched else (0, Link(number=1, chain=START))
    number = link.number if vouched else 0
    if advance(link.chain, lines[place:known]) != head.chain or number != head.lines:
        yield Break(place + 1, "it does not lead to the head: it was changed, or lines after it are missing")
    elif len(lines) > after and data.endswith(b"\n"):
        yield Break(after + 1, NO_PLACE)
    elif stranger := _whole_among(lines[after:]):
        yield Break(after + stranger, NO_PLACE)


def _leads_to(lines: Sequence[bytes], one: tuple[int, Link], other: tuple[int, Link]) -> bool:
    """Whether a chained line and what stands after it lead to the state that the next one carries."""
    (place, link), (next_place, next_link) = one, other
    return advance(link.chain, lines[place:next_place]) == next_link.chain


def _whole_among(between: Sequence[bytes]) -> int:
    """Which of some lines without a state, counted from 1, is a whole line all the same; 0 where none is."""
    return next((place for place, line in enumerate(between, start=1) if is_whole(line)), 0)
