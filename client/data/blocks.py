"""Blocks: which cases enter a figure or a statistic together, so that no difference of two figures is of few patients.

    C  =  union of { B : B a block, B within the cases that can enter }          the cohort of a figure

A center's figures are sums over cohorts, or follow from such sums. Blocks are disjoint and have `minimum` patients or
more, and a block enters a cohort with all of its cases or not at all. So whatever combination is taken of figures that
ever left, over settings, tasks, stages, studies or days, every case of a block has the same coefficient in it, and what
is left when others cancel is of a whole block.

New cases wait until `minimum` patients with the same qualities have none; those that stay behind are put together
across qualities where they share a part and a modality. A block is never taken apart, and no case enters a second one:

    a case that goes, or is refused     its block enters no cohort while the case is away
    a case that gains a quality         the block has it when all of its cases do
    a case that loses a quality         the block has it no more
    a split that parts a block          the block is in no part of that study
    a minimum that rises                blocks that became too small join others, whole, or stay out
    a minimum that falls                blocks stay as they are; cases that waited form smaller ones

Blocks end where both they and what is left have two patients of each outcome or none, wherever those who came together
allow it (`client.data.outcomes`): a block in which an outcome is one patient's enters no figure that tells it apart.

A minimum of 1 asks for none of this: every case enters by itself.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from client.data.outcomes import Outcomes, outcomes_of_one
from protocol.modalities import MODALITIES

Qualities = frozenset[str]
LARGEST = 4
"""A case that is away takes its block with it: blocks do not grow without end for a rare outcome."""


@dataclass(frozen=True)
class Unit:
    """One case as blocks know it.

    patient: whose it is. qualities: all that says into which figures it can enter: part, modalities, targets. outcomes:
    its class, and the endpoints whose event came.
    """

    patient: str
    qualities: Qualities
    outcomes: Outcomes = frozenset()


@dataclass(frozen=True)
class Block:
    """Cases that enter together: case -> patient."""

    members: Mapping[str, str]

    @property
    def patients(self) -> int:
        """How many patients it stands on."""
        return len(set(self.members.values()))

    def joined_with(self, others: Iterable["Block"]) -> "Block":
        """One block of several."""
        members = dict(self.members)
        for other in others:
            members |= other.members
        return Block(members)


def keep_whole(blocks: Iterable[Block], able: Collection[str]) -> frozenset[str]:
    """The cases of those blocks whose cases are all among the `able` ones."""
    names = frozenset(able)
    return frozenset(case for block in blocks if block.members.keys() <= names for case in block.members)


def arrange(blocks: Sequence[Block], units: Mapping[str, Unit], minimum: int) -> tuple[Block, ...]:
    """The blocks with those that can be made of cases which are in none, and of blocks that are too small by now.

    Args:
        blocks: those that were made before.
        units: the cases that are there, by name.
        minimum: fewest patients of a block.

    Returns:
        All blocks, those first that were made first; some may be smaller than `minimum` and wait.
    """
    whole = [block for block in blocks if block.patients >= minimum]
    small = [block for block in blocks if block.patients < minimum]
    here = [block for block in small if block.members.keys() <= units.keys()]
    away = [block for block in small if block not in here]
    new, left = _form_alike([*here, *_newcomers(blocks, units)], units, minimum)
    pooled, left = _form_across(left, units, minimum)
    waiting = [block for block in left if block in here]
    return (*whole, *away, *waiting, *new, *pooled)


def usable(blocks: Iterable[Block], minimum: int) -> tuple[Block, ...]:
    """The blocks that are large enough to enter a figure."""
    return tuple(block for block in blocks if block.patients >= minimum)


def _newcomers(blocks: Iterable[Block], units: Mapping[str, Unit]) -> list[Block]:
    """The cases in no block; those of one patient that are alike stay together."""
    known = {case for block in blocks for case in block.members}
    found: dict[tuple[str, tuple[str, ...]], dict[str, str]] = defaultdict(dict)
    for case in sorted(units.keys() - known):
        unit = units[case]
        found[unit.patient, tuple(sorted(unit.qualities))][case] = unit.patient
    return [Block(members) for members in found.values()]


def _form_alike(pieces: Sequence[Block], units: Mapping[str, Unit], minimum: int) -> tuple[list[Block], list[Block]]:
    """Blocks of pieces with the same qualities, and the pieces that are left."""
    alike: dict[tuple[tuple[str, ...], ...], list[Block]] = defaultdict(list)
    for piece in pieces:
        alike[tuple(sorted({tuple(sorted(units[case].qualities)) for case in piece.members}))].append(piece)
    formed, left = [], []
    for of_kind in alike.values():
        made = list(_fill(of_kind, units, minimum))
        formed += made
        left += [] if made else of_kind
    return formed, left


def _form_across(pieces: Sequence[Block], units: Mapping[str, Unit], minimum: int) -> tuple[list[Block], list[Block]]:
    """Blocks of pieces that share a part and a modality, and the pieces that are left."""
    formed, left = [], list(pieces)
    parts = sorted({quality for unit in units.values() for quality in unit.qualities if quality.startswith(PART)})
    for part in parts:
        for modality in MODALITIES:
            shared = {part, modality}
            fitting = [piece for piece in left if all(shared <= units[case].qualities for case in piece.members)]
            made = Block({}).joined_with(fitting)
            if made.patients >= minimum:
                formed.append(made)
                left = [piece for piece in left if piece not in fitting]
    return formed, left


def _fill(pieces: Sequence[Block], units: Mapping[str, Unit], minimum: int) -> Iterator[Block]:
    """Blocks of `minimum` patients; the last takes what is left, and nothing is too few.

    Pieces of the same outcomes follow each other, and a block goes on where its end would leave an outcome with one
    patient on either side that together they have not, but to no more than `LARGEST` times `minimum`.
    """
    ordered = sorted(pieces, key=lambda piece: sorted({*map(tuple, map(sorted, _outcomes(piece, units).values()))}))
    unavoidable = _of_one(ordered, units)
    ends, begin = [], 0
    for end in range(1, len(ordered) + 1):
        patients = Block({}).joined_with(ordered[begin:end]).patients
        if patients >= minimum and (
            patients >= LARGEST * minimum
            or _of_one(ordered[begin:end], units) | _of_one(ordered[end:], units) <= unavoidable
        ):
            ends.append(end)
            begin = end
    ends = [*ends[:-1], len(ordered)] if Block({}).joined_with(ordered).patients >= minimum else []
    for start, end in pairwise([0, *ends]):
        yield Block({}).joined_with(ordered[start:end])


def _of_one(pieces: Iterable[Block], units: Mapping[str, Unit]) -> Outcomes:
    """The outcomes that these pieces, as one block, would have of one patient."""
    together = Block({}).joined_with(pieces)
    return outcomes_of_one(_outcomes(together, units), together.members)


def _outcomes(block: Block, units: Mapping[str, Unit]) -> dict[str, Outcomes]:
    return {case: units[case].outcomes for case in block.members}


PART = "part:"
"""How the quality begins that says in which part of the split a case is."""
