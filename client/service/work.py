"""What a center does for each kind of instruction, on its own cases; what may leave of it is the trainer's to say."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import nn

from client.audit.candidate_check import DECIDING, check_candidate
from client.data.cohort import Cohort
from client.data.cohorts import Cohorts
from client.data.labelled_cases import NO_ROWS, Rows
from client.home.backbone_store import BackboneStore
from client.home.draw_key import PUBLIC
from client.learning.assembly import tensor_specs
from client.learning.cancellation import Check
from client.learning.observation import observe
from client.learning.outcome import arrays_to_send, payload_of, round_generator, round_loss
from client.learning.thin_groups import Parted, cases_able, moments_without, part_groups, require_enough, take_back
from client.learning.trainable import require_live, train_only
from client.learning.training import Trained, train_locally
from client.local_terms.building import build_terms
from client.local_terms.contract import LocalTerm
from client.optimisation.moments import KeptMoments, Moments
from client.privacy.private_rounds import PrivateRounds
from client.scores.benefits import tell_benefits
from client.scores.cohort_rows import level, scored_in
from client.scores.score_log import record_benefits, record_prediction
from client.scores.scoring import Network, ScoreCache, Scored, case_scores, mean_diagnostics, scores_of
from client.service.cases import Cases
from client.service.kept_row import Tested, keep_row
from client.service.networks import network_of
from client.service.own_arm import OwnArm
from client.service.private_round import Learners, train_private_round
from client.service.work_limits import NO_END
from client.tasks.building import build_task, build_tasks
from client.tasks.contract import CenterTask
from client.tasks.precision import available_precision
from protocol.errors import ModelError
from protocol.messages.benefit import Benefit
from protocol.messages.facts import MISSING_CASES
from protocol.messages.instruction import Instruction
from protocol.messages.reference import trains_alone
from protocol.messages.reply import Reply
from protocol.messages.settings import StudySettings, Training
from protocol.messages.suppression import LOSS_SUPPRESSED, Suppressed, settings_suppressed
from protocol.messages.tensors import PEFT, Tensors, groups_reached
from protocol.modalities import Modality

Live = Mapping[str, nn.Parameter]
Learnt = tuple[Trained, list[LocalTerm]]


class CenterWork:
    """The work of one center.

    Args:
        center: the name it registered with.
        folders: its data folders, each with one folder per case.
        modalities: what it offers; files of other modalities are ignored.
        home: where it keeps manifest, cache, backbones and scores.
        device: where its networks run.
        rows: its own rows of a table that several centers share: column -> value.
        minimum_cases: fewest patients that enter a figure together.
        memory: bytes that its prepared cases may take.
        draw_key: what its draws come from beside the study's seed (`client.home.draw_key`).
        rounds: its private rounds; of a study that asks for privacy none is done without.
        highest_auc: of a loss-threshold attack on a candidate that it compares; 0 attacks none.
    """

    def __init__(
        self,
        center: str,
        folders: Sequence[Path],
        modalities: Sequence[Modality],
        home: Path,
        device: str,
        rows: Rows = NO_ROWS,
        minimum_cases: int = 1,
        memory: int = NO_END,
        *,
        draw_key: bytes = PUBLIC,
        rounds: PrivateRounds | None = None,
        highest_auc: float = 0.0,
    ) -> None:
        self.center, self.home, self.device, self._draw_key = center, home, device, draw_key
        self.cases = Cases(center, tuple(folders), tuple(modalities), home, rows, memory)
        self._modalities, self._scores, self._highest_auc = tuple(modalities), ScoreCache(), highest_auc
        self._rounds = rounds or PrivateRounds(center, home, None, None)
        self.moments, self.arm = KeptMoments(home / "moments"), OwnArm(home, center, draw_key)
        self._backbones, self._cohorts = BackboneStore(home / "backbones"), Cohorts(home, minimum_cases)
        self._minimum_cases = minimum_cases

    def own_groups(self, groups: Iterable[str]) -> tuple[str, ...]:
        """The groups this center may train and send: PET's pathway and bank need PET, those of fusion both."""
        return groups_reached(groups, self._modalities)

    def do(self, instruction: Instruction, check: Check) -> Reply:
        """What comes of an instruction.

        Args:
            instruction: what the coordinator asks.
            check: is called before each training step and each case that is prepared, scored or observed.

        Raises:
            ConciliumError: it cannot be done, or `check` raised.
        """
        handlers = {
            "train": self._train,
            "evaluate": self._evaluate,
            "compare": self._compare,
            "observe": self._observe,
        }
        if instruction.kind == "register":
            return self._register(instruction)
        self._scores = ScoreCache() if self.cases.refresh_known() else self._scores
        missing = self.cases.count_missing(instruction.settings)
        reply = handlers[instruction.kind](instruction, check)
        return replace(reply, facts={**reply.facts, MISSING_CASES: missing}) if missing else reply

    def _register(self, instruction: Instruction) -> Reply:
        if self.cases.refresh():
            self._scores = ScoreCache()
        facts: dict[str, int | float | str] = {**self.cases.fix(instruction.settings), "device": self.device}
        facts |= {"modalities": "+".join(sorted(self._modalities)), "precision": available_precision(self.device)}
        return Reply(center=self.center, kind="register", facts=facts)

    def _train(self, instruction: Instruction, check: Check) -> Reply:
        training = instruction.training
        if training is None:
            raise ModelError(f"center '{self.center}': an instruction to train came without training settings")
        network = self._network(instruction, instruction.tensors)
        validation, suppressed = self._validate(network, training, check)
        specs = tensor_specs(network.model, network.row.pathways)
        able = self._able(network, instruction, training, {spec.group for spec in specs})
        parameters = train_only(network.model, able.kept, network.row.pathways, training.roles)
        require_live(parameters, instruction, self.center)
        if trains_alone(network.settings.reference):
            self.arm.train(network, instruction, able.kept, self.cases.part(network.settings, "train", check), check)
        begun = self.moments.start_of(instruction)
        learn = self._learn if network.settings.privacy is None else self._learn_privately
        trained, terms = learn(network, instruction, training, parameters, check, begun)
        found = part_groups(able.kept, trained.used, self._minimum_cases)
        undone = {spec.key for spec in specs if spec.group in found.withheld}
        take_back(parameters, instruction.tensors, undone)
        self.moments.end(instruction, moments_without(trained.moments, begun, undone))
        moved = arrays_to_send(parameters, terms, specs, found.support)
        suppressed = suppressed.joined_with(Suppressed(groups=(*able.withheld, *found.withheld)))
        return Reply(
            center=self.center,
            kind="train",
            payload=payload_of(network.model, specs, instruction, self.center, moved, found.support),
            scores=scores_of(case_scores(validation)),
            diagnostics=mean_diagnostics(row for of_task in validation.values() for row in of_task),
            loss=round_loss(trained),
            suppressed=suppressed if network.settings.privacy is None else suppressed.joined_with(LOSS_SUPPRESSED),
        )

    def _able(self, network: Network, instruction: Instruction, training: Training, held: Collection[str]) -> Parted:
        """The groups of the model that this center trains, by the training cases that could reach each.

        Raises:
            TooFewError: nothing of a private round could leave.
        """
        settings, groups = network.settings, [name for name in self.own_groups(training.groups) if name in held]
        split, task = self.cases.split(settings), build_task(instruction.task, settings, training.recipe)
        cases = [case for case in self.cases.manifest(settings).usable if split.get(case.name) == "train"]
        found = part_groups(groups, cases_able(cases, task, training, network.row.settings), self._minimum_cases)
        if settings.privacy is not None:
            require_enough(found, self.center)
        return found

    def _learn(
        self, network: Network, asked: Instruction, training: Training, live: Live, check: Check, begun: Moments
    ) -> Learnt:
        """A round that guarantees nothing; what it came to, and its local terms."""
        settings, row, model = network.settings, network.row, network.model
        tensors, reference, steps = asked.tensors, asked.reference, training.local_steps
        task, variant = build_task(asked.task, settings, training.recipe), network.variant
        terms = build_terms(model, training, tensors, reference, settings, task, row.pathways, variant, steps)
        trained = train_locally(
            model,
            live,
            self.cases.part(settings, "train", check),
            task=task,
            training=training,
            model_settings=row.settings,
            rng=round_generator(asked, self.center, self._draw_key),
            terms=terms,
            check=check,
            moments=begun,
        )
        return trained, terms

    def _learn_privately(
        self, network: Network, asked: Instruction, training: Training, live: Live, check: Check, begun: Moments
    ) -> Learnt:
        """A round that guarantees each patient what the study, or the center, says; likewise."""
        settings = network.settings
        learners = Learners(self.cases.part(settings, "train", check), self.cases.manifest(settings).patients)
        task = build_task(asked.task, settings, training.recipe)
        rng = round_generator(asked, self.center, self._draw_key)
        return train_private_round(
            self._rounds, network, asked, training, live, learners, task, self._modalities, rng, check, begun
        )

    def frozen_for(self, instruction: Instruction) -> Tensors:
        """The frozen backbone, where a sum's coordinates need it: those of DoRA's row gains do.

        Raises:
            BackboneMissingError: this center does not hold it.
        """
        training = instruction.training
        needs = instruction.settings.adapter.method == "dora" and training is not None and PEFT in training.groups
        return self._backbones.get(instruction.backbone_hash) if needs else {}

    def cohort(self, settings: StudySettings) -> Cohort:
        """The cases that figures of a study may stand on."""
        return self._cohorts.of(self.cases.manifest(settings), self.cases.split(settings))

    def _validate(
        self, network: Network, training: Training, check: Check
    ) -> tuple[dict[CenterTask, list[Scored]], Suppressed]:
        """The received state's scores on cases that enter figures, where the round asks; and the settings without."""
        wanted = training.wanted
        cases = self.cases.part(network.settings, "validation", check) if training.validate_first else []
        tasks, cohort = build_tasks(network.settings), self.cohort(network.settings)
        every = {task: list(self._scores.scores(network, task, cases, wanted, check)) for task in tasks}
        entering = {task: scored_in(task, rows, cohort) for task, rows in every.items()}
        return entering, settings_suppressed(scores_of(case_scores(every)), scores_of(case_scores(entering)))

    def _evaluate(self, instruction: Instruction, check: Check) -> Reply:
        network = self._network(instruction, instruction.tensors)
        found: dict[CenterTask, list[Scored]] = {task: [] for task in build_tasks(network.settings)}
        for case in self.cases.part(network.settings, "test", check):
            for task in found:
                of_case = list(self._scores.scores(network, task, [case], network.row.settings, check))
                found[task] += of_case
                for fullest in of_case[-1:]:
                    kept = task.record(case, fullest.score.modalities, fullest.predicted)
                    record_prediction(self.home, task.name, case.name, kept)
        rows, cohort = case_scores(found), self.cohort(network.settings)
        validation = partial(self.cases.part, network.settings, "validation", check)
        keep_row(self.home, instruction.stage, network, found, validation, self._scores, check)
        entering = {task: scored_in(task, of_task, cohort) for task, of_task in found.items()}
        leaving, every = scores_of(case_scores(entering)), scores_of(rows)
        benefits, held = self._tell_benefits(instruction, network, found, check), settings_suppressed(every, leaving)
        return Reply(self.center, "evaluate", scores=leaving, suppressed=held, benefits=benefits)

    def _tell_benefits(self, asked: Instruction, network: Network, tested: Tested, check: Check) -> tuple[Benefit, ...]:
        """What federation brought, beside the center's own arm; nothing where the study does not ask."""
        references = self.arm.references(network, asked)
        if references is None:
            return ()
        cases, cohort = self.cases.part(network.settings, "test", check), self.cohort(network.settings)
        rng = round_generator(asked, self.center, self._draw_key)
        told = list(tell_benefits(self._scores, tested, references, cases, cohort, rng, check))
        record_benefits(self.home, asked.stage, [each.own for each in told])
        return tuple(each.leaving for each in told)

    def _compare(self, instruction: Instruction, check: Check) -> Reply:
        """The primary metric of the stage's task under `tensors` minus that under `reference`, on validation cases.

        Each case under its fullest setting, of those that the instruction's training names where it names any.
        """
        settings, task = instruction.settings, build_task(instruction.task, instruction.settings)
        cases = self.cases.part(settings, "validation", check)
        wanted = None if instruction.training is None else instruction.training.wanted
        cohort = self.cohort(settings)
        if self._highest_auc:
            parts = {part: self.cases.part(settings, part, check) for part in DECIDING}
            candidate, manifest = self._network(instruction, instruction.tensors), self.cases.manifest(settings)
            given = (self._highest_auc, check, self.home, instruction, cohort, self._minimum_cases)
            check_candidate(candidate, task, manifest, parts, *given)
        networks = (self._network(instruction, tensors) for tensors in (instruction.tensors, instruction.reference))
        new, old = (self._scores.fullest(network, task, cases, check, wanted) for network in networks)
        rng = round_generator(instruction, self.center, self._draw_key)
        both = task.compare(level(task, new, cohort), level(task, old, cohort), rng)
        return Reply(center=self.center, kind="compare", comparison=both if new else None)

    def _observe(self, instruction: Instruction, check: Check) -> Reply:
        network = self._network(instruction, instruction.tensors)
        seen, support = observe(
            network.model,
            self.cases.part(network.settings, "train", check),
            statistics=instruction.statistics,
            task=build_task(instruction.task, network.settings),
            settings=network.settings,
            model_settings=network.row.settings,
            rng=round_generator(instruction, self.center, self._draw_key),
            check=check,
            cohort=self.cohort(network.settings),
        )
        specs = tensor_specs(network.model, network.row.pathways)
        payload = payload_of(network.model, specs, instruction, self.center, seen, support)
        return Reply(center=self.center, kind="observe", payload=payload)

    def _network(self, instruction: Instruction, tensors: Tensors) -> Network:
        return network_of(instruction, tensors, self._backbones, self.device)
