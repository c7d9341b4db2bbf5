"""The rounds of a study that guarantees its patients privacy, as one center runs them.

Before the first round the noise is solved for all that the plan still asks of the center, with what its patients have
spent before:

    epsilon(before + all rounds to come, sigma) <= epsilon of the study, or the center's own      one sigma for all
                                                   and of every earlier promise to any of its patients
    q = min(1, b / n)          b the largest batch of the rounds to come: fewer a step cost less

It is kept (`private_noise.json`, sealed) until the guarantee, the plan or the number of patients is another one. Each
round is a release: looked up in the ledger before it begins, written there before anything of it leaves.
"""

import hashlib
import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from client.home.own_privacy import OwnPrivacy, agree_on_privacy
from client.privacy.accountant import noise_multiplier_for
from client.privacy.ledger_file import Promise
from client.privacy.patient_sampling import sample_rate
from client.privacy.privacy_ledger import Bound, PrivacyLedger, excess_words
from client.privacy.release import Release
from client.privacy.unguaranteed import promise_lines, unguaranteed_of
from protocol.enrolment.plan import StudyPlan
from protocol.errors import BankError, PrivacyError, PrivacyNoiseError, PrivacySpentError
from protocol.messages.instruction import Instruction
from protocol.messages.privacy import Privacy
from protocol.messages.settings import StudySettings, Training
from protocol.storage.atomic_files import write_private
from protocol.storage.sealed_json import read_sealed, seal

logger = logging.getLogger(__name__)

NOISE = "private_noise.json"
INSTEAD = (
    "more patients a step, fewer steps or values that train, or a larger epsilon need less; `concilium-center check "
    "--study FILE --home HOME` shows what each costs here"
)


@dataclass(frozen=True)
class PrivateSteps:
    """How the steps of a round are made private.

    norms: C, or C_G by tensor group. noise_multiplier: sigma. sample_rate: q. expected: q n, patients of a step. crops:
    of a sampled patient.
    """

    norms: float | Mapping[str, float]
    noise_multiplier: float
    sample_rate: float
    expected: float
    crops: int = 1


class PrivateRounds:
    """One center's private rounds.

    Args:
        center: whose they are.
        home: where ledger and noise are kept.
        plan: all that the center agreed to be asked; without one no round is private, since nobody knows how many come.
        own: what the center holds to.
    """

    def __init__(self, center: str, home: Path, plan: StudyPlan | None, own: OwnPrivacy | None) -> None:
        self._center, self._path, self._plan, self._own = center, home / NOISE, plan, own
        self._ledger = PrivacyLedger(home)

    def agreed(self, settings: StudySettings) -> Privacy | None:
        """What training guarantees each patient here; None nothing.

        Raises:
            PrivacyError: the study asks for less than the center holds to.
        """
        return agree_on_privacy(settings.privacy, self._own, self._center, settings.study)

    def check(self, settings: StudySettings) -> Privacy | None:
        """Refuse, before a case is read, what nobody agreed to or could keep; else as `agreed`.

        Raises:
            PrivacyError: as `agreed`, or nobody knows the rounds to come.
            RecordsError: what was spent cannot be read as it was written.
        """
        privacy = self.agreed(settings)
        if privacy is None:
            return None
        if self._plan is None:
            raise PrivacyError(
                f"center '{self._center}': how much noise a round needs follows from all rounds to come, and nothing "
                "says which these are; give --terms, the agreement that `concilium-center join` writes"
            )
        self._ledger.entries()
        return privacy

    def begin(
        self, instruction: Instruction, training: Training, patients: int, names: Collection[str]
    ) -> PrivateSteps:
        """How the steps of a round are to be made, after its cost was looked up.

        Args:
            instruction: of the round.
            training: what it trains.
            patients: how many may be sampled, n.
            names: theirs, and those of their cases.

        Raises:
            PrivacyError: the guarantee cannot be given to so few, or nobody knows the rounds to come.
            PrivacyNoiseError: it can, and nothing of what they teach would be left.
            PrivacySpentError: its patients would have spent more than they were ever promised.
            RecordsError: what was spent cannot be read as it was written.
        """
        privacy = self._guarantee(instruction.settings, patients)
        sigma = self._noise(privacy, instruction, patients, names)
        rate = sample_rate(training.batch_size, patients)
        steps = PrivateSteps(privacy.clip_norm, sigma, rate, rate * patients, privacy.crops)
        if found := privacy.noise_finding(sigma, steps.expected):
            raise PrivacyNoiseError(f"center '{self._center}' sits out: {found}; {INSTEAD}")
        self._check_left(instruction, training, steps, patients, names)
        return steps

    def end(
        self, instruction: Instruction, training: Training, steps: PrivateSteps, patients: int, names: Collection[str]
    ) -> None:
        """Write the round down; what it made may leave from then on.

        Raises:
            PrivacySpentError: meanwhile its patients spent elsewhere what was left.
            StorageError: the disk refuses; nothing may leave then.
        """
        privacy, release = self._guarantee(instruction.settings, patients), release_of(instruction, training, steps)
        cost = self._ledger.spend(release, names, promise_of(privacy))
        logger.info(
            "round %d of stage '%s': epsilon %.3g of %.3g at delta %.3g is spent",
            *(instruction.server_round, instruction.stage, cost, privacy.epsilon, privacy.delta),
        )

    def _check_left(
        self, instruction: Instruction, training: Training, steps: PrivateSteps, patients: int, names: Collection[str]
    ) -> None:
        """Refuse a round that would exceed, and say of a later one of the plan that it would."""
        promise = promise_of(self._guarantee(instruction.settings, patients))
        planned = [release_of(instruction, training, steps), *self._later(instruction, steps, patients)]
        found = self._ledger.first_excess(planned, names, promise)
        if found and found[0] == planned[0]:
            raise PrivacySpentError(excess_words(*found))
        if found:
            logger.warning("with this noise %s", excess_words(*found))

    def _later(self, instruction: Instruction, steps: PrivateSteps, patients: int) -> Iterator[Release]:
        """The rounds of the plan that come after one, as releases."""
        later = (row for row in planned_rounds(self._plan or StudyPlan()) if row[0] > instruction.server_round)
        for number, stage, training in sorted(later, key=lambda row: row[0]):
            rate = sample_rate(training.batch_size, patients)
            at_rate = replace(steps, sample_rate=rate)
            yield release_of(replace(instruction, stage=stage, server_round=number), training, at_rate)

    def _guarantee(self, settings: StudySettings, patients: int) -> Privacy:
        privacy = self.check(settings)
        if privacy is None:
            raise PrivacyError(f"center '{self._center}': study '{settings.study}' asks for no privacy")
        if found := delta_finding(privacy.delta, patients):
            raise PrivacyError(f"center '{self._center}': {found}")
        return privacy

    def _noise(self, privacy: Privacy, instruction: Instruction, patients: int, names: Collection[str]) -> float:
        """Sigma for every round to come, as it was kept or solved now."""
        plan = self._plan or StudyPlan()
        study, basis = instruction.settings.study, _digest(privacy, plan, patients)
        kept = self._read()
        found = kept.get(study)
        if isinstance(found, dict) and found.get("basis") == basis:
            return float(found["noise_multiplier"])
        trainings = [found for number, found in planned_trainings(plan) if number >= instruction.server_round]
        rate = sample_rate(max(training.batch_size for training in trainings), patients)
        steps = sum(training.local_steps for training in trainings)
        bounds = self._ledger.bounds(names, promise_of(privacy))
        sigma = noise_for_all(bounds, rate, steps)
        write_private(self._path, seal({**kept, study: {"basis": basis, "noise_multiplier": sigma}}))
        logger.info(
            "center '%s' guarantees epsilon %.3g at delta %.3g to each of %d patient(s) over %d step(s): noise of %.3g "
            "times the clipping norm %.3g, %.3g of it a coordinate once %.3g patients expected a step are averaged",
            *(self._center, privacy.epsilon, privacy.delta, patients, steps, sigma, privacy.sensitivity),
            *(sigma / (rate * patients), rate * patients),
        )
        self._say_what_left_bare(names)
        return sigma

    def _say_what_left_bare(self, names: Collection[str]) -> None:
        """Once beside the noise: of which releases on these patients the guarantee says nothing."""
        found = unguaranteed_of(self._ledger.entries(names))
        for line in promise_lines(found):
            logger.warning("%s", line)

    def _read(self) -> Mapping[str, Any]:
        """What was kept; nothing where it is gone or damaged: the ledger knows what was spent, and the rest follows."""
        try:
            return read_sealed(self._path) if self._path.exists() else {}
        except BankError as error:
            logger.warning("the noise of rounds to come is solved anew: %s", error)
            return {}


def noise_for_all(bounds: Iterable[Bound], rate: float, steps: int) -> float:
    """The smallest noise multiplier with which `steps` more steps at a rate keep every promise.

    Raises:
        PrivacySpentError: no noise suffices for one of them.
    """
    return max(
        noise_multiplier_for(bound.promise.epsilon, bound.promise.delta, rate, steps, bound.spent) for bound in bounds
    )


def promise_of(privacy: Privacy) -> Promise:
    """What a guarantee promises each patient, as the ledger knows it."""
    return Promise(privacy.epsilon, privacy.delta)


def planned_rounds(plan: StudyPlan) -> Iterator[tuple[int, str, Training]]:
    """Every round that a center trains: its number in the study, its stage, and what it trains."""
    for stage in plan.stages:
        for planned in stage.rounds:
            for number in planned.numbers:
                yield number, stage.name, planned.training


def planned_trainings(plan: StudyPlan) -> Iterator[tuple[int, Training]]:
    """Every round that a center trains, by its number in the study, with what it trains."""
    return ((number, training) for number, _, training in planned_rounds(plan))


def release_of(instruction: Instruction, training: Training, steps: PrivateSteps) -> Release:
    """A round as the ledger knows it."""
    return Release(
        kind="training",
        mechanism="subsampled-gaussian",
        noise_multiplier=steps.noise_multiplier,
        sample_rate=steps.sample_rate,
        steps=training.local_steps,
        study=instruction.settings.study,
        stage=instruction.stage,
        server_round=instruction.server_round,
    )


def delta_finding(delta: float, patients: int) -> str:
    """Why a delta promises nothing to so many patients; "" where it does."""
    if not patients:
        return "no patient can train, so that nothing can be guaranteed to any; add cases, or sit out"
    if delta >= 1 / patients:
        return (
            f"delta {delta:g} is no less than 1/n of {patients} training patient(s), so that one of them could be sent "
            f"as a whole; write delta below {1 / patients:.2g}, such as {0.1 / patients:.1g}"
        )
    return ""


def _digest(privacy: Privacy, plan: StudyPlan, patients: int) -> str:
    """Of all that the noise follows from, what was spent aside."""
    basis = [privacy.model_dump(mode="json"), plan.model_dump(mode="json"), patients]
    return hashlib.sha256(json.dumps(basis, sort_keys=True).encode()).hexdigest()
