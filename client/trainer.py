"""The warm trainer of one center: it holds data and device, takes instructions, and decides what leaves."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from client.assembly import arrays_of, assemble, ledger, tensor_specs
from client.backbone_store import BackboneStore, check_hash
from client.data.manifest import Manifest, Modality, raise_if_unusable, scan_center
from client.data.manifest_file import write_manifest
from client.data.preprocessing import PreparedCase, cached_case
from client.data.split_file import fixed_parts
from client.egress import answer, check_and_log
from client.evaluation import runnable_settings, score_case
from client.metrics import CaseScore, summarise
from client.score_log import record_prediction, record_scores
from client.training import Trained, train_locally
from fusion_models.adapters.injection import group_of, parameters_by_key, train_only
from fusion_models.registry import model_row
from strategies.errors import ModelError
from strategies.instruction import Instruction, Kind, Part, Reply, Score
from strategies.payload import Payload
from strategies.settings import SETTINGS, ModalitySetting, Preprocessing, StudySettings
from strategies.tensors import BACKBONE, GROUPS, PET, TensorSpec, content_hash, select

logger = logging.getLogger(__name__)

MAXIMUM_BYTES = 1 << 30
PREPARED_CASES = 64


class Trainer:
    """One center.

    Args:
        center: the name it registered with.
        folders: its data folders, each with one folder per case.
        modalities: what it offers; files of other modalities are ignored.
        home: where it keeps manifest, cache, backbones, scores and the outgoing log.
        minimum_cases: fewest training cases that may stand behind a tensor that leaves.
        maximum_bytes: cap on one reply's tensors.
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
    ) -> None:
        self.center, self.home, self.device = center, home, device
        self._folders, self._modalities = tuple(folders), tuple(modalities)
        self._minimum_cases, self._maximum_bytes = minimum_cases, maximum_bytes
        self._backbones = BackboneStore(home / "backbones")
        self.manifest = cache(self._scan)
        self._prepared = lru_cache(maxsize=PREPARED_CASES)(self._prepare)

    def perform(self, instruction: Instruction) -> Reply:
        """Do what the coordinator asks and return what may leave, after it is in the outgoing log.

        What fails becomes an error code; its text stays in this center's log.

        Raises:
            StorageError: the outgoing log could not be written; nothing may leave then.
        """
        handlers: Mapping[Kind, Callable[[Instruction], Reply]] = {
            "register": self._register,
            "train": self._train,
            "evaluate": self._evaluate,
        }
        start = time.perf_counter()
        answered = answer(handlers[instruction.kind], instruction)
        return check_and_log(
            replace(answered, center=self.center, seconds=time.perf_counter() - start),
            specs=ledger(instruction.settings.model_dump_json()) if answered.payload else (),
            owned_groups=self._owned(GROUPS),
            minimum_cases=self._minimum_cases,
            maximum_bytes=self._maximum_bytes,
            log=self.home / "outgoing.jsonl",
        )

    def _register(self, instruction: Instruction) -> Reply:
        split = self._parts(instruction.settings)
        facts: dict[str, int | float | str] = {
            f"{part}_cases": sum(1 for found in split.values() if found == part)
            for part in ("train", "validation", "test")
        }
        manifest = self.manifest()
        facts |= {"cases": len(manifest.usable), "refused_cases": len(manifest.quarantined)}
        facts |= {"modalities": "+".join(sorted(self._modalities)), "device": self.device}
        return Reply(center=self.center, kind="register", facts=facts)

    def _train(self, instruction: Instruction) -> Reply:
        training = instruction.training
        if training is None:
            raise ModelError(f"center '{self.center}': an instruction to train came without training settings")
        model, row = self._model(instruction), model_row(instruction.settings.model.name)
        wanted = [setting for setting, share in training.modality_shares.items() if share > 0]
        validation = [score for _, score, _ in self._predictions(model, instruction.settings, "validation", wanted)]
        parameters = train_only(model, self._owned(training.groups), row.pathways)
        if not parameters:
            raise ModelError(
                f"center '{self.center}' has nothing to train in stage '{instruction.stage}': it owns none of the "
                f"groups {list(training.groups)} of model '{instruction.settings.model.name}'"
            )
        trained = train_locally(
            model,
            parameters,
            self._cases(instruction.settings, "train"),
            training=training,
            model_settings=row.settings,
            crop_zyx=instruction.settings.preprocessing.crop_zyx,
            rng=round_generator(instruction, self.center),
        )
        support = support_of(trained, self._owned(training.groups))
        specs = tensor_specs(model, instruction.settings.model.name)
        moved = select(arrays_of(parameters), [spec for spec in specs if support.get(spec.group)])
        backbone_hash = instruction.backbone_hash if BACKBONE in training.groups else backbone_hash_of(model, specs)
        payload = Payload(self.center, backbone_hash, instruction.stage, instruction.server_round, moved, support)
        return Reply(
            center=self.center, kind="train", payload=payload, scores=by_setting(validation), loss=trained.loss
        )

    def _evaluate(self, instruction: Instruction) -> Reply:
        settings, row = instruction.settings, model_row(instruction.settings.model.name)
        scores = []
        for case, score, predicted in self._predictions(self._model(instruction), settings, "test", row.settings):
            scores.append(score)
            record_prediction(self.home, case, score.modalities, predicted, settings.preprocessing)
        record_scores(self.home, instruction.stage, scores)
        return Reply(center=self.center, kind="evaluate", scores=by_setting(scores))

    def _predictions(
        self, model: nn.Module, settings: StudySettings, part: Part, wanted: Sequence[str]
    ) -> Iterator[tuple[PreparedCase, CaseScore, NDArray[np.uint8]]]:
        """Cases of a part with score and prediction, one per setting that case, model and `wanted` allow."""
        grid = settings.preprocessing
        able = set(model_row(settings.model.name).settings) & set(wanted)
        for case in self._cases(settings, part):
            for setting in runnable_settings(case.modalities, able):
                score, predicted = score_case(
                    model, case, setting, crop_zyx=grid.crop_zyx, spacing_zyx_mm=grid.spacing_zyx_mm
                )
                yield case, score, predicted

    def _model(self, instruction: Instruction) -> nn.Module:
        """The model an instruction describes; its backbone travels with it, was just sent, or is on disk."""
        pathways = model_row(instruction.settings.model.name).pathways
        tensors = instruction.tensors
        moving = {key: array for key, array in tensors.items() if group_of(key, pathways) == BACKBONE}
        if moving and instruction.kind == "evaluate":
            # What is scored at the end of a stage is what the next one freezes: kept, it need not travel again.
            self._backbones.add(moving, instruction.backbone_hash)
        elif moving:
            check_hash(moving, instruction.backbone_hash)
        elif instruction.backbone:
            self._backbones.add(instruction.backbone, instruction.backbone_hash)
        backbone = moving or self._backbones.get(instruction.backbone_hash)
        rest = {key: array for key, array in tensors.items() if key not in moving}
        return assemble(instruction.settings, backbone, rest, device=self.device)

    def _owned(self, groups: Iterable[str]) -> tuple[str, ...]:
        """The groups this center may train and send: the PET pathway only where there is PET."""
        return tuple(group for group in groups if group != PET or "pet" in self._modalities)

    def _scan(self) -> Manifest:
        manifest = scan_center(self.center, self._folders, self._modalities)
        self.home.mkdir(parents=True, exist_ok=True)
        write_manifest(manifest, self.home / "manifest.json")
        raise_if_unusable(manifest)
        for issue in manifest.all_issues:
            logger.warning("%s", issue.message)
        return manifest

    def _parts(self, settings: StudySettings) -> Mapping[str, Part]:
        return fixed_parts(self.manifest(), seed=settings.seed, split=settings.split, folder=self.home)

    def _cases(self, settings: StudySettings, part: Part) -> list[PreparedCase]:
        """The prepared cases of a part, in name order."""
        found = self._parts(settings)
        return [self._prepared(settings.preprocessing, name) for name in sorted(found) if found[name] == part]

    def _prepare(self, settings: Preprocessing, name: str) -> PreparedCase:
        found = next(case for case in self.manifest().cases if case.name == name)
        case = cached_case(name, found.paths, found.checksums, settings, self.home / "cache")
        if case.gtv is not None and not case.gtv.any():
            logger.warning(
                "case '%s': no voxel of its contour is left on a grid of %s mm", name, settings.spacing_zyx_mm
            )
        return case


def backbone_hash_of(model: nn.Module, specs: Sequence[TensorSpec]) -> str:
    """Content hash of the backbone as it is now: training that moved a frozen tensor cannot hide it."""
    frozen = [spec for spec in specs if spec.group == BACKBONE]
    return content_hash(select(arrays_of(parameters_by_key(model)), frozen))


def by_setting(scores: Sequence[CaseScore]) -> dict[ModalitySetting, Score]:
    """Mean scores for each modality setting that any case was scored under."""
    found = {name: [score for score in scores if score.modalities == name] for name in SETTINGS}
    return {name: summarise(rows) for name, rows in found.items() if rows}


def support_of(trained: Trained, groups: Iterable[str]) -> dict[str, int]:
    """Training cases behind each trained group: those whose PET was used for the PET pathway, all for the rest."""
    anyone = trained.used["ct"] | trained.used["pet"]
    counts = {group: len(trained.used["pet"] if group == PET else anyone) for group in groups}
    return {group: cases for group, cases in counts.items() if cases}


def round_generator(instruction: Instruction, center: str) -> np.random.Generator:
    """The randomness of one round at one center, the same whenever that round is repeated."""
    name = f"{instruction.settings.seed}|{instruction.stage}|{instruction.server_round}|{center}"
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
