"""The warm trainer of one center: it holds data and device, takes instructions, and decides what leaves."""

import gc
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache, partial
from pathlib import Path

import torch
from torch import nn

from client.data.manifest import Manifest, Modality, raise_if_unusable, scan_center
from client.data.manifest_file import write_manifest
from client.data.preprocessing import PreparedCase, cached_case
from client.data.split_file import fixed_parts
from client.home.agreement import MAXIMUM_STEPS, check_agreed
from client.home.backbone_store import BackboneStore, check_hash
from client.learning.assembly import study_specs, tensor_specs
from client.learning.cancellation import Check, never_cancelled
from client.learning.observation import observe
from client.learning.outcome import moved_of, payload_of, round_generator, support_of
from client.learning.training import train_locally
from client.local_terms.building import build_terms
from client.outgoing.egress import answer, check_and_log, failed
from client.outgoing.outbox import Outbox
from client.outgoing.outgoing_log import LOG
from client.scores.score_log import record_prediction, record_scores
from client.scores.scoring import Network, ScoreCache, by_setting, comparison_of, mean_diagnostics
from fusion_models.adapters.injection import group_of, train_only
from fusion_models.registry import model_row
from protocol.errors import CancelledError, ConciliumError, ModelError
from protocol.messages.instruction import Instruction, Kind, Part
from protocol.messages.reply import Reply
from protocol.messages.settings import Preprocessing, StudySettings, Training
from protocol.messages.tensors import BACKBONE, GROUPS, NEEDS, Tensors, is_statistic

logger = logging.getLogger(__name__)

MAXIMUM_BYTES = 1 << 30
PREPARED_CASES = 64


class Trainer:
    """One center.

    Args:
        center: the name it registered with.
        folders: its data folders, each with one folder per case.
        modalities: what it offers; files of other modalities are ignored.
        home: where it keeps manifest, cache, backbones, scores, the outbox and the outgoing log.
        minimum_cases: fewest cases that may stand behind a tensor or figure that leaves.
        maximum_bytes: cap on one reply's tensors.
        agreed: `settings_digest` of the one study it takes instructions of; "" for any.
        maximum_steps: most local steps that a round may ask for.
    """

    def __init__(
        self,
        center: str,
        folders: Sequence[Path],
        modalities: Sequence[Modality],
        home: Path,
        *,
        device: str = "cpu",
        minimum_cases: int = 1,
        maximum_bytes: int = MAXIMUM_BYTES,
        agreed: str = "",
        maximum_steps: int = MAXIMUM_STEPS,
    ) -> None:
        self.center, self.home, self.device = center, home, device
        self._folders, self._modalities = tuple(folders), tuple(modalities)
        self._minimum_cases, self._maximum_bytes = minimum_cases, maximum_bytes
        self._agreed, self._maximum_steps = agreed, maximum_steps
        self._backbones, self._outbox = BackboneStore(home / "backbones"), Outbox(home / "outbox")
        self._book = ScoreCache()
        self.manifest = cache(self._scan)
        self._prepared = lru_cache(maxsize=PREPARED_CASES)(self._prepare)

    def perform(self, instruction: Instruction, check: Check = never_cancelled) -> Reply:
        """Do what the coordinator asks and return what may leave, after it is in the outgoing log.

        What fails becomes an error code; its text stays in this center's log. Finished training is kept until the
        coordinator has acknowledged it, and answers the same instruction again without training.

        Args:
            instruction: what the coordinator asks.
            check: is called before each training step and each case that is prepared, scored or observed.

        Raises:
            StorageError: the outgoing log could not be written; nothing may leave then.
        """
        try:
            check_agreed(instruction, self.center, self._agreed, self._maximum_steps)
            waiting = self._outbox.waiting_for(instruction)
        except ConciliumError as error:
            return self._leave(instruction, failed(error, instruction))
        if waiting is not None:
            logger.info("round %d was trained before; its update is sent again", instruction.server_round)
            return self._leave(instruction, waiting, again=True)
        return self._leave(instruction, self._done(instruction, check))

    def _done(self, instruction: Instruction, check: Check) -> Reply:
        """What comes of an instruction; work that was cancelled gives the device's memory back."""
        handlers: Mapping[Kind, Callable[[Instruction, Check], Reply]] = {
            "register": self._register,
            "train": self._train,
            "evaluate": self._evaluate,
            "compare": self._compare,
            "observe": self._observe,
        }
        start = time.perf_counter()
        done = answer(lambda asked: handlers[asked.kind](asked, check), instruction)
        if done.error == CancelledError.code and torch.cuda.is_available():
            gc.collect()
            torch.cuda.empty_cache()
        return replace(done, seconds=time.perf_counter() - start)

    def _leave(self, instruction: Instruction, reply: Reply, *, again: bool = False) -> Reply:
        """What may leave of a reply, after it is kept and its line is written."""
        return check_and_log(
            replace(reply, center=self.center),
            specs=study_specs(instruction.settings.model_dump_json()) if reply.payload else (),
            owned_groups=self._owned(GROUPS),
            minimum_cases=self._minimum_cases,
            maximum_bytes=self._maximum_bytes,
            log=self.home / LOG,
            sketch_rank=instruction.settings.sketch_rank,
            stage=instruction.stage,
            server_round=instruction.server_round,
            again=again,
            keep=partial(self._outbox.keep, instruction),
        )

    def _register(self, instruction: Instruction, _check: Check) -> Reply:
        split = self._parts(instruction.settings)
        facts: dict[str, int | float | str] = {
            f"{part}_cases": sum(1 for found in split.values() if found == part)
            for part in ("train", "validation", "test")
        }
        manifest = self.manifest()
        facts |= {"cases": len(manifest.usable), "refused_cases": len(manifest.quarantined)}
        facts |= {"modalities": "+".join(sorted(self._modalities)), "device": self.device}
        return Reply(center=self.center, kind="register", facts=facts)

    def _train(self, instruction: Instruction, check: Check) -> Reply:
        training = instruction.training
        if training is None:
            raise ModelError(f"center '{self.center}': an instruction to train came without training settings")
        network, row = self._network(instruction, instruction.tensors), model_row(instruction.settings.model.name)
        wanted = [setting for setting, share in training.modality_shares.items() if share > 0]
        cases = self._cases(network.settings, "validation", check) if training.validate_first else []
        validation = list(self._book.scores(network, cases, wanted, check))
        parameters = self._live(network.model, instruction, training)
        terms = build_terms(
            network.model,
            training,
            instruction.tensors,
            instruction.reference,
            network.settings,
            network.variant,
            training.local_steps,
        )
        trained = train_locally(
            network.model,
            parameters,
            self._cases(network.settings, "train", check),
            training=training,
            model_settings=row.settings,
            crop_zyx=network.settings.preprocessing.crop_zyx,
            rng=round_generator(instruction, self.center),
            terms=terms,
            check=check,
        )
        specs = tensor_specs(network.model, network.settings.model.name)
        held = {spec.group for spec in specs}
        support = support_of(trained, [group for group in self._owned(training.groups) if group in held])
        moved = moved_of(parameters, terms, specs, support)
        return Reply(
            center=self.center,
            kind="train",
            payload=payload_of(network.model, instruction, self.center, moved, support),
            scores=by_setting([scored.score for scored in validation]),
            diagnostics=mean_diagnostics(validation),
            loss=trained.loss,
        )

    def _live(self, model: nn.Module, instruction: Instruction, training: Training) -> dict[str, nn.Parameter]:
        """What trains here, by key; everything else is frozen.

        Raises:
            ModelError: nothing does.
        """
        name = instruction.settings.model.name
        live = train_only(model, self._owned(training.groups), model_row(name).pathways, training.roles)
        if not live:
            raise ModelError(
                f"center '{self.center}' has nothing to train in stage '{instruction.stage}': it owns none of the "
                f"groups {list(training.groups)} of model '{name}'"
            )
        return live

    def _evaluate(self, instruction: Instruction, check: Check) -> Reply:
        network = self._network(instruction, instruction.tensors)
        row, scores = model_row(network.settings.model.name), []
        for case in self._cases(network.settings, "test", check):
            found = list(self._book.scores(network, [case], row.settings, check))
            scores += [scored.score for scored in found]
            for fullest in found[-1:]:
                grid = network.settings.preprocessing
                record_prediction(self.home, case, fullest.score.modalities, fullest.predicted, grid)
        record_scores(self.home, instruction.stage, scores)
        return Reply(center=self.center, kind="evaluate", scores=by_setting(scores))

    def _compare(self, instruction: Instruction, check: Check) -> Reply:
        """Dice under `tensors` minus Dice under `reference`, paired by validation case."""
        cases = self._cases(instruction.settings, "validation", check)
        new, old = (
            self._book.fullest(self._network(instruction, tensors), cases, check)
            for tensors in (instruction.tensors, instruction.reference)
        )
        rng = round_generator(instruction, self.center)
        return Reply(center=self.center, kind="compare", comparison=comparison_of(new, old, rng))

    def _observe(self, instruction: Instruction, check: Check) -> Reply:
        network = self._network(instruction, instruction.tensors)
        found, support = observe(
            network.model,
            self._cases(network.settings, "train", check),
            statistics=instruction.statistics,
            settings=network.settings,
            rng=round_generator(instruction, self.center),
            check=check,
        )
        payload = payload_of(network.model, instruction, self.center, found, support)
        return Reply(center=self.center, kind="observe", payload=payload)

    def _network(self, instruction: Instruction, tensors: Tensors) -> Network:
        """The network of `tensors`; its backbone is among them, was just sent, or is on disk."""
        settings = instruction.settings
        pathways = model_row(settings.model.name).pathways
        moving = {
            key: array
            for key, array in tensors.items()
            if not is_statistic(key) and group_of(key, pathways) == BACKBONE
        }
        backbone_hash = instruction.backbone_hash
        if moving and instruction.kind == "evaluate":
            # What is scored at the end of a stage is what the next one freezes: kept, it need not travel again.
            self._backbones.add(moving, backbone_hash)
        elif moving:
            check_hash(moving, backbone_hash)
        elif instruction.backbone:
            self._backbones.add(instruction.backbone, backbone_hash)
        backbone = moving or self._backbones.get(backbone_hash)
        rest = {key: array for key, array in tensors.items() if key not in moving}
        return Network(settings, backbone, backbone_hash, rest, self.device)

    def _owned(self, groups: Iterable[str]) -> tuple[str, ...]:
        """The groups this center may train and send: PET's pathway needs PET, and fusion both modalities."""
        return tuple(group for group in groups if NEEDS.get(group, frozenset()) <= set(self._modalities))

    def _scan(self) -> Manifest:
        manifest = scan_center(self.center, self._folders, self._modalities)
        self.home.mkdir(parents=True, exist_ok=True)
        write_manifest(manifest, self.home / "manifest.json")
        raise_if_unusable(manifest)
        for issue in manifest.all_issues:
            logger.warning("%s", issue.message)
        return manifest

    def _parts(self, settings: StudySettings) -> Mapping[str, Part]:
        seed = settings.seed if settings.split.seed is None else settings.split.seed
        return fixed_parts(self.manifest(), seed=seed, split=settings.split, folder=self.home)

    def _cases(self, settings: StudySettings, part: Part, check: Check) -> list[PreparedCase]:
        """The prepared cases of a part, in name order."""
        parts, found = self._parts(settings), []
        for name in sorted(name for name, of_part in parts.items() if of_part == part):
            check()
            found.append(self._prepared(settings.preprocessing, name))
        return found

    def _prepare(self, settings: Preprocessing, name: str) -> PreparedCase:
        found = next(case for case in self.manifest().cases if case.name == name)
        case = cached_case(name, found.paths, found.checksums, settings, self.home / "cache")
        if case.gtv is not None and not case.gtv.any():
            logger.warning(
                "case '%s': no voxel of its contour is left on a grid of %s mm", name, settings.spacing_zyx_mm
            )
        return case
