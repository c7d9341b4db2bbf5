"""One round of which the coordinator sees the centers' sum and no center's own tensors.

    advertise -> share -> [ train and mask, as any round ] -> unmask -> one payload that is the centers' mean

Keys are drawn anew for each round: one that was broken off, by a crash or because too few answered, is begun again from
its first phase; where a center helped to open it already, it comes to the same sum of the same centers or to none. The
payload that comes out goes through the same arithmetic as those of other studies.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from math import inf

from protocol.errors import PayloadError, QuorumError, SecureSumError, StudyError
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.payload import Payload, phase_of
from protocol.messages.secure_sum import AdvertisedKeys, Contribution, Roster, SumPlan, SumRequest, state_digest
from protocol.messages.tensors import NEEDS, PEFT
from protocol.validation import reach_findings
from server.rounds.round_under_way import RoundUnderWay
from server.rounds.sum_phases import AskAll, OpenSum, SumPhases
from server.rounds.transitions import hash_for
from server.rounds.weighing import most_cases, named_cases
from server.study.checkpoint import Checkpoint
from server.study.secure_findings import MAXIMUM_SHARE
from strategies.secure_sum.fixed_point import from_limbs
from strategies.secure_sum.layout import LOSS, MASKED, GroupMean, Layout, layout_of, mean_of, total_finding
from strategies.shares import capped_weights

logger = logging.getLogger(__name__)

ALL = "(sum)"
"""In the place of a center's name, which it cannot be."""


@dataclass(frozen=True)
class RoundSum:
    """What a round came to. payload: the mean as if one center had sent it; loss, cases: over the centers."""

    payload: Payload
    figures: Mapping[str, float]


class SecureRound:
    """The phases of one round.

    Args:
        under_way: the round.
        state: before it.
        roster: of the study; the centers take none that the authority did not sign.
        ask: asks centers and waits for all.
    """

    def __init__(self, under_way: RoundUnderWay, state: Checkpoint, roster: Roster, ask: AskAll) -> None:
        self._under_way, self._state = under_way, state
        self._study = under_way.builder.prepared.study
        place = (self._study.name, under_way.builder.stage.name, under_way.number)
        self._phases = SumPhases(place, "train", self._fewest, roster, self._write, ask)
        self.layout: Layout = layout_of(under_way.builder.prepared.specs, under_way.training)

    def open(self, centers: Collection[str]) -> OpenSum:
        """Have the centers draw keys and share their secrets.

        Raises:
            QuorumError: too few do.
        """
        return self._phases.share(self._plan(self._phases.advertise(centers)))

    def close(
        self,
        opened: OpenSum,
        payloads: Mapping[str, Payload],
        said: Mapping[str, Contribution],
        registered: Mapping[str, int],
    ) -> RoundSum:
        """Take the masks off the sum of what came.

        Args:
            opened: the sum.
            payloads: center -> its masked payload, checked.
            said: center -> what it says it stands behind, checked.
            registered: center -> its training cases.

        Raises:
            QuorumError: too few are in it, or too few help to unmask it.
            PayloadError: the sum's weight or cases are none that its centers can have, or the mean is farther away than
                the round's steps can take any center.
        """
        plan, fewest = opened.plan, self._fewest
        masked = {
            center: {name: from_limbs(payload.tensors[MASKED + name]) for name in (*self.layout, LOSS)}
            for center, payload in payloads.items()
        }
        try:
            sums = self._phases.unmask(opened, masked, said)
            means = {group: mean_of(sums[group], self.layout[group]) for group in sums if group != LOSS}
        except SecureSumError as error:
            raise QuorumError(
                f"{self._phases.where}: the sum cannot be unmasked: {error}. The round before is kept"
            ) from error
        for group, mean in means.items():
            self._check_total(group, mean, plan, {c: registered[c] for c in payloads if group in said[c].groups})
        held = sorted(self.layout.keys() - means.keys())
        if held:
            logger.info(
                "%s: fewer than %d centers stand behind %s, which stays as it is", self._phases.where, fewest, held
            )
        figures = {f"cases.{group}": float(mean.cases) for group, mean in means.items()}
        figures |= {f"centers.{group}": float(sum(group in found.groups for found in said.values())) for group in means}
        if LOSS in sums:
            figures["loss"] = float(sums[LOSS][0] / sums[LOSS][1])
        return RoundSum(self._as_payload(means), figures)

    def _check_total(self, group: str, mean: GroupMean, plan: SumPlan, behind: Mapping[str, int]) -> None:
        if found := total_finding(mean, plan.weights[group], behind):
            raise PayloadError(
                f"{self._phases.where}: the sum of group '{group}' has {found}, so that at least one of "
                f"{sorted(behind)} sent something else than it may. Nothing of it was used; whose it was cannot be seen"
            )

    @property
    def _fewest(self) -> int:
        secure = self._study.secure_aggregation
        if secure is None:
            raise StudyError("a sum was begun in a study without [secure_aggregation]")
        return secure.fewest

    def _plan(self, keys: Mapping[str, AdvertisedKeys]) -> SumPlan:
        settings, limits = self._study.strategy.aggregation, most_cases(self._study, self._state)
        weights = {
            group: _at_most_half(
                capped_weights(
                    {center: limits[center] for center in keys if self._reaches(center, group)},
                    exponent=settings.weight_exponent,
                    maximum_share=settings.maximum_share,
                    agreed=named_cases(self._study),
                )
            )
            for group in self.layout
        }
        study, stage, number = self._phases.place
        begun = self._under_way.instruction(self._state, min(keys))
        return SumPlan(
            study=study,
            stage=stage,
            server_round=number,
            state=state_digest(begun.tensors, begun.reference, begun.backbone_hash),
            scheme=self._study.scheme_name(self._under_way.builder.stage),
            exponent=settings.weight_exponent,
            keys=keys,
            weights={**weights, LOSS: dict.fromkeys(keys, 1.0)},
        )

    def _reaches(self, center: str, group: str) -> bool:
        return NEEDS.get(group, frozenset()) <= set(self._study.centers[center].modalities)

    def _write(self, kind: Kind, center: str, request: SumRequest | None) -> Instruction:
        return self._under_way.builder.of_sum(kind, self._state, center, self._under_way.number, request)

    def _as_payload(self, means: Mapping[str, GroupMean]) -> Payload:
        """The means as the payload of one center that stands for all, checked as far as a mean can be."""
        under_way, state = self._under_way, self._state
        builder, sent = under_way.builder, dict(state.shared)
        base = replace(under_way.base, settings=under_way.base.settings.model_copy(update={"gauge_step": False}))
        summed = self._study.scheme_of(builder.stage).summed
        if summed is None:
            raise StudyError(f"{self._phases.where}: its scheme needs each center's own tensors")
        coordinates = {key: array for mean in means.values() for key, array in mean.coordinates.items()}
        wire = summed(state.shared, base).decode(coordinates)
        payload = Payload(
            center=ALL,
            backbone_hash=hash_for(state, sent, builder.prepared.groups),
            stage=builder.stage.name,
            server_round=under_way.number,
            tensors={key: wire[key].astype("float32") for key in coordinates},
            support={group: mean.cases for group, mean in means.items()},
            phase=phase_of(under_way.training.roles) if PEFT in under_way.training.groups else "",
        )
        if found := [text for _, text in reach_findings(payload, sent, under_way.reach)]:
            raise PayloadError(
                f"{self._phases.where}: the centers' mean cannot come of the round's steps, so that at least one of "
                f"them sent something else: {found[0]}. Nothing of it was used; whose it was cannot be seen"
            )
        return payload


def _at_most_half(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights as they are, of which no center refuses one: the file's own numbers may have raised a share above 1/2."""
    return capped_weights(weights, exponent=1.0, maximum_share=MAXIMUM_SHARE, factor=inf)
