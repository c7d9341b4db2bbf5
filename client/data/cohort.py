"""The cases of a center that figures may stand on: whole blocks of them."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from client.data.blocks import Block, keep_whole
from client.data.outcomes import Outcomes, outcomes_of_one


@dataclass(frozen=True)
class Cohort:
    """The blocks that a center's figures stand on.

    blocks: large enough to enter. keys: case name -> how the blocks know the case; only cases that are there.
    is_of_blocks: false where a center sends from one case on: every case then enters by itself.
    """

    blocks: tuple[Block, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    is_of_blocks: bool = True

    @property
    def digest(self) -> str:
        """SHA-256 over the cases that can enter figures now: those of the blocks that are whole."""
        present = frozenset(self.keys.values())
        entering = keep_whole(self.blocks, present) if self.is_of_blocks else present
        return hashlib.sha256("|".join(sorted(entering)).encode()).hexdigest()

    @property
    def waiting(self) -> str:
        """How many cases enter no figure, in words; "" where all do."""
        count = len(self.keys) - len(self.keep(self.keys)) if self.is_of_blocks else 0
        why = "too few of their kind have come so far, or one of their block is away"
        return f"{count} of {len(self.keys)} case(s) enter no figure: {why}" if count else ""

    def keep(self, names: Collection[str]) -> frozenset[str]:
        """Those of some cases, by name, whose whole block is among them."""
        if not self.is_of_blocks:
            return frozenset(names)
        by_key = {self.keys[name]: name for name in names if name in self.keys}
        return frozenset(by_key[key] for key in keep_whole(self.blocks, by_key))

    def of_one_patient(self, outcomes: Mapping[str, Outcomes]) -> dict[str, Outcomes]:
        """Of cases of whole blocks, by name, the outcomes that could be told of one patient of their block."""
        by_key = {self.keys[name]: name for name in outcomes if name in self.keys}
        found: dict[str, Outcomes] = {}
        for block in self.blocks if self.is_of_blocks else ():
            patients = {by_key[key]: patient for key, patient in block.members.items() if key in by_key}
            told = outcomes_of_one({name: outcomes[name] for name in patients}, patients)
            found |= dict.fromkeys(patients, told)
        return found


EVERYBODY = Cohort(is_of_blocks=False)
