"""What was done to a federation, what was expected of it and not seen, and what is to be put right after the run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.rehearsal.consortium import Consortium, wait_until
from tests.rehearsal.network import RehearsalError

PAUSE_S = 0.5


@dataclass
class Findings:
    """Filled by a cell of the fault matrix.

    done: in words, in order. unseen: what was expected and did not come. excused: why another bank is right; "" where
    the same one is expected, or centers that are left out by name. later: undone when the run has ended.
    """

    done: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    excused: str = ""
    later: list[Callable[[], object]] = field(default_factory=list)

    def note(self, words: str) -> None:
        """Something was done, or seen."""
        self.done.append(words)

    def expect(self, what: str, holds: Callable[[], bool], within_s: float) -> bool:
        """Look until something holds; it is noted, or not seen."""
        try:
            wait_until(holds, what, within_s, PAUSE_S)
        except RehearsalError:
            self.unseen.append(what)
            return False
        self.note(what)
        return True

    def put_right(self) -> None:
        """Undo what was left for after the run."""
        while self.later:
            self.later.pop()()


Cell = Callable[[Consortium, str, dict[str, Path], Findings], None]
"""Does one fault to a federation that runs its study, at a center, with the centers' kits."""
Cells = Mapping[str, Cell]
