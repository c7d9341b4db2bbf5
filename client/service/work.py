"""What a center does for each kind of instruction, on its own cases; what may leave of it is the trainer's to say."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from torch import nn

from client.data.labelled_cases import NO_ROWS, Rows
from client.home.backbone_store import BackboneStore
from client.learning.assembly import tensor_specs
from client.learning.cancellation import Check
from client.learning.observation import observe
from client.learning.outcome import arrays_to_send, payload_of, round_generator, support_of
from client.learning.trainable import train_only
from client.learning.training import train_locally
from client.local_terms.building import build_terms
from client.scores.metrics import CaseScore
from client.scores.score_log import record_prediction, record_scores
from client.scores.scoring import Network, ScoreCache, Scored, by_setting, comparison_of, mean_diagnostics
from client.service.cases import Cases
from client.service.networks import network_of
from protocol.errors import ModelError
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.reply import Reply
from protocol.messages.settings import Training
from protocol.messages.tensors import NEEDS, Tensors
from protocol.modalities import Modality


class CenterWork:
    """The work of one center.

    Args:
        center: the name it registered with.
        folders: its data folders, each with one folder per case.
        modalities: what it offers; files of other modalities are ignored.
        home: where it keeps manifest, cache, backbones and scores.
        device: where its networks run.
        rows: its own rows of a table that several centers share: column -> value.
    """

    def __init__(
        self,
        center: str,
        folders: Sequence[Path],
        modalities: Sequence[Modality],
        home: Path,
        device: str,
        rows: Rows = NO_ROWS,
    ) -> None:
        self.center, self.home, self.device = center, home, device
        self.cases = Cases(center, tuple(folders), tuple(modalities), home, rows)
        self._modalities, self._scores = tuple(modalities), ScoreCache()
        self._backbones = BackboneStore(home / "backbones")

    def own_groups(self, groups: Iterable[str]) -> tuple[str, ...]:
        """The groups this center may train and send: PET's pathway needs PET, and fusion both modalities."""
        return tuple(group for group in groups if NEEDS.get(group, frozenset()) <= set(self._modalities))

    def do(self, instruction: Instruction, check: Check) -> Reply:
        """What comes of an instruction.

        Args:
            instruction: what the coordinator asks.
            check: is called before each training step and each case that is prepared, scored or observed.

        Raises:
            ConciliumError: it cannot be done, or `check` raised.
        """
        handlers: Mapping[Kind, Callable[[Instruction, Check], Reply]] = {
            "register": self._register,
            "train": self._train,
            "evaluate": self._evaluate,
            "compare": self._compare,
            "observe": self._observe,
        }
        return handlers[instruction.kind](instruction, check)

    def _register(self, instruction: Instruction, _check: Check) -> Reply:
        split = self.cases.split(instruction.settings)
        facts: dict[str, int | float | str] = {
            f"{part}_cases": sum(1 for found in split.values() if found == part)
            for part in ("train", "validation", "test")
        }
        manifest = self.cases.manifest(instruction.settings)
        facts |= {"cases": len(manifest.usable), "refused_cases": len(manifest.quarantined)}
        facts |= {"modalities": "+".join(sorted(self._modalities)), "device": self.device}
        return Reply(center=self.center, kind="register", facts=facts)

    def _train(self, instruction: Instruction, check: Check) -> Reply:
        training = instruction.training
        if training is None:
            raise ModelError(f"center '{self.center}': an instruction to train came without training settings")
        network = self._network(instruction, instruction.tensors)
        settings, row, model = network.settings, network.row, network.model
        validation = self._validate(network, training, check)
        parameters = self._live(network, instruction, training)
        tensors, reference, steps = instruction.tensors, instruction.reference, training.local_steps
        terms = build_terms(model, training, tensors, reference, settings, row.pathways, network.variant, steps)
        trained = train_locally(
            model,
            parameters,
            self.cases.part(settings, "train", check),
            training=training,
            model_settings=row.settings,
            crop_zyx=settings.preprocessing.crop_zyx,
            rng=round_generator(instruction, self.center),
            terms=terms,
            check=check,
        )
        specs = tensor_specs(model, row.pathways)
        held = {spec.group for spec in specs}
        support = support_of(trained, [group for group in self.own_groups(training.groups) if group in held])
        moved = arrays_to_send(parameters, terms, specs, support)
        return Reply(
            center=self.center,
            kind="train",
            payload=payload_of(model, specs, instruction, self.center, moved, support),
            scores=by_setting([scored.score for scored in validation]),
            diagnostics=mean_diagnostics(validation),
            loss=trained.loss,
        )

    def _validate(self, network: Network, training: Training, check: Check) -> list[Scored]:
        """The received state's scores on the validation cases, where the round asks for them."""
        wanted = [setting for setting, share in training.modality_shares.items() if share > 0]
        cases = self.cases.part(network.settings, "validation", check) if training.validate_first else []
        return list(self._scores.scores(network, cases, wanted, check))

    def _live(self, network: Network, instruction: Instruction, training: Training) -> dict[str, nn.Parameter]:
        """What trains here, by key; everything else is frozen.

        Raises:
            ModelError: nothing does.
        """
        live = train_only(network.model, self.own_groups(training.groups), network.row.pathways, training.roles)
        if not live:
            raise ModelError(
                f"center '{self.center}' has nothing to train in stage '{instruction.stage}': it owns none of the "
                f"groups {list(training.groups)} of model '{network.settings.model.name}'"
            )
        return live

    def _evaluate(self, instruction: Instruction, check: Check) -> Reply:
        network = self._network(instruction, instruction.tensors)
        scores: list[CaseScore] = []
        for case in self.cases.part(network.settings, "test", check):
            found = list(self._scores.scores(network, [case], network.row.settings, check))
            scores += [scored.score for scored in found]
            for fullest in found[-1:]:
                grid = network.settings.preprocessing
                record_prediction(self.home, case, fullest.score.modalities, fullest.predicted, grid)
        record_scores(self.home, instruction.stage, scores)
        return Reply(center=self.center, kind="evaluate", scores=by_setting(scores))

    def _compare(self, instruction: Instruction, check: Check) -> Reply:
        """Dice under `tensors` minus Dice under `reference`, paired by validation case."""
        cases = self.cases.part(instruction.settings, "validation", check)
        new, old = (
            self._scores.fullest(self._network(instruction, tensors), cases, check)
            for tensors in (instruction.tensors, instruction.reference)
        )
        rng = round_generator(instruction, self.center)
        return Reply(center=self.center, kind="compare", comparison=comparison_of(new, old, rng))

    def _observe(self, instruction: Instruction, check: Check) -> Reply:
        network = self._network(instruction, instruction.tensors)
        seen, support = observe(
            network.model,
            self.cases.part(network.settings, "train", check),
            statistics=instruction.statistics,
            settings=network.settings,
            model_settings=network.row.settings,
            rng=round_generator(instruction, self.center),
            check=check,
        )
        specs = tensor_specs(network.model, network.row.pathways)
        payload = payload_of(network.model, specs, instruction, self.center, seen, support)
        return Reply(center=self.center, kind="observe", payload=payload)

    def _network(self, instruction: Instruction, tensors: Tensors) -> Network:
        return network_of(instruction, tensors, self._backbones, self.device)
