"""What a center's figures stand on in a study: its cases' blocks, made when they are first asked for, and kept."""

from collections.abc import Mapping
from pathlib import Path

from client.data.block_file import digest, read_blocks, write_blocks
from client.data.blocks import PART, Unit, arrange, usable
from client.data.cohort import Cohort
from client.data.manifest import TARGETS, Case, Manifest
from protocol.messages.instruction import Part


class Cohorts:
    """The cohorts of one center.

    Args:
        home: where its blocks are kept.
        minimum_cases: fewest patients of a block; 1 keeps none, since every case enters by itself.
    """

    def __init__(self, home: Path, minimum_cases: int) -> None:
        self._home, self._minimum = home, minimum_cases

    def of(self, manifest: Manifest, split: Mapping[str, Part]) -> Cohort:
        """The blocks of the cases in a study's split; cases that are new join blocks, or wait.

        Raises:
            RecordsError: the kept blocks are damaged.
            StorageError: the disk refuses the new ones.
        """
        cases = [case for case in manifest.usable if case.name in split]
        keys = {case.name: key_of(case) for case in cases}
        if self._minimum == 1:
            return Cohort(keys=keys, is_of_blocks=False)
        units = {key_of(case): unit_of(case, split[case.name]) for case in cases}
        before = read_blocks(self._home)
        blocks = arrange(before, units, self._minimum)
        if blocks != before:
            write_blocks(self._home, blocks)
        return Cohort(usable(blocks, self._minimum), keys)


def key_of(case: Case) -> str:
    """How blocks know a case."""
    return digest(case.name, case.patient)


def unit_of(case: Case, part: Part) -> Unit:
    """A case as blocks know it, with all that decides into which figures it can enter."""
    targets = {f"target:{task}" for task, has_target in TARGETS.items() if has_target(case)}
    endpoints = {f"endpoint:{place}" for place, known in enumerate(case.labels.endpoints) if known is not None}
    events = {f"event:{place}" for place, known in enumerate(case.labels.endpoints) if known is not None and known[1]}
    classes = {f"class:{case.labels.class_index}"} if case.labels.class_index is not None else set[str]()
    return Unit(
        digest(case.patient),
        frozenset({PART + part, *case.modalities, *targets, *endpoints}),
        frozenset({*events, *classes}),
    )
