"""One version of one adapter: where it comes from, and what it is told apart by."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One version of one adapter.

    center:       whose training made it; "" for the shared adapter.
    server_round: the round that made it, counted over the study from 1; 0 is the state before training.
    parent:       reference (`name/0003`) of the entry it grew from, None for the first.
    backbone:     content hash of the frozen backbone it belongs to.
    sha256:       content hash of its tensors.
    support:      training cases behind each tensor group.
    provenance:   in words, of an entry that no stage of the study made (`strategies.bank.trained_alone`), whose stage
                  and round are those of the study that did; else "".
    """

    name: str
    version: int
    center: str
    stage: str
    server_round: int
    parent: str | None
    backbone: str
    sha256: str
    support: Mapping[str, int]
    tensor_count: int
    tensor_bytes: int
    provenance: str = ""

    @property
    def reference(self) -> str:
        """How other entries and reports name this one."""
        return f"{self.name}/{self.version:04d}"

    @property
    def record(self) -> dict[str, Any]:
        """What `entry.json` says of it; a provenance only where there is one."""
        fields = asdict(self)
        return fields if self.provenance else {name: value for name, value in fields.items() if name != "provenance"}

    @property
    def origin(self) -> tuple[str, str, int, str, str]:
        """What two entries have in common when a resumed run makes one a second time."""
        return self.center, self.stage, self.server_round, self.backbone, self.sha256
