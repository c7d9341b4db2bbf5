"""Centers that sum without showing what, without messages: each phase is a call, and anybody may leave at any."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from protocol.messages.secure_sum import SumPlan
from strategies.secure_sum.center_side import OwnSecrets, mask, open_boxes, open_groups, reveal, share_secrets
from strategies.secure_sum.coordinator_side import unmask
from strategies.secure_sum.fixed_point import Values, Words


@dataclass
class SummedCenters:
    """values: center -> group -> its numbers; a center stands behind the groups that are not all zeros.

    gone: phase ("share", "mask", "reveal") -> who leaves before it.
    """

    values: Mapping[str, Mapping[str, Values]]
    fewest: int = 3
    gone: Mapping[str, Collection[str]] = field(default_factory=dict)
    masked: dict[str, dict[str, Words]] = field(default_factory=dict)

    def run(self) -> dict[str, Values]:
        groups = sorted({group for found in self.values.values() for group in found})
        secrets = {center: OwnSecrets() for center in self.values}
        plan = SumPlan(
            study="drawn",
            stage="adapt",
            server_round=1,
            state="00" * 32,
            scheme="fedit",
            exponent=0.5,
            keys={center: found.keys for center, found in secrets.items()},
            weights={group: dict.fromkeys(self.values, 1.0) for group in groups},
        )
        sharers = self._stay(self.values, "share")
        shared = {center: share_secrets(secrets[center], center, plan) for center in sharers}
        present = self._stay(sharers, "mask")
        for center in present:
            peers = [peer for peer in sharers if peer != center]
            self.masked[center] = mask(self.values[center], secrets[center], center, plan, peers)
        behind = {center: [g for g in groups if np.any(self.values[center][g])] for center in present}
        opened = open_groups(plan, behind, self.fewest)
        revealed = {}
        for center in self._stay(present, "reveal"):
            boxes = {peer: shared[peer][0][center] for peer in sharers if peer != center}
            held = {**open_boxes(secrets[center], center, plan, boxes), center: shared[center][1]}
            revealed[center] = reveal(held, present, opened)
        return unmask(self.masked, revealed, plan, sharers, opened)

    def _stay(self, centers: Collection[str], phase: str) -> list[str]:
        return [center for center in centers if center not in self.gone.get(phase, ())]
