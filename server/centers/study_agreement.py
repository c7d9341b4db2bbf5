"""What a center agrees to when it joins a study, and estimates of what that costs it.

bytes down   the shared tensors at the center's rank, which grow as stages begin to train further groups; twice where a
             local term compares with the state accepted before the stage. Backbones count in stages that train them.
bytes up     the tensors of the groups that a stage trains, and once more for each local term that returns
             something about them. Statistics that a strategy remembers, and a residual, come on top of both.
disk         three backbones (the file, the one in use, one being written), the last updates, logs, and a cache of
             CACHED_CASES cases of FIELD_ZYX_MM at the study's spacing; images in a center's own folders not counted.
             A study in which no center offers images caches none, and its activations are next to nothing.
GPU memory   weights, and gradient and two moments of what trains, and activations: ACTIVATION_BYTES for every voxel of
             a batch, the most that docs/results-models.md measured (0.7 to 3.5 kB in 3D, 4.6 to 8.5 kB in slices, at
             small widths; wide networks need more). Under CPU_SUFFICES_BYTES it is 0: a CPU does it, if slowly.
"""

import math
from collections.abc import Iterable
from importlib.metadata import version

from protocol.enrolment.kit import RUN_OPTIONS, StudyAgreement
from protocol.enrolment.plan import agreed_digest
from protocol.errors import StudyError
from protocol.messages.tensors import BACKBONE, NEEDS, TensorSpec, at_rank, kind_of, read_specs
from protocol.modalities import IMAGES
from server.centers.bundle import bundle_sha256
from server.centers.study_plan import plan_of
from server.study.coordinator_settings import CoordinatorSettings
from server.study.directory import StudyDirectory
from server.study.file import Study, read_study
from server.study.stage import Stage
from strategies.continual.terms import terms_with_weight

VALUE_BYTES = 4
CACHED_CASES, CHANNELS = 100, 3
FIELD_ZYX_MM = (1000.0, 400.0, 400.0)
WORKING_BYTES = 2 * 1024**3
ACTIVATION_BYTES = 8500
CPU_SUFFICES_BYTES = 4 * 1024**3


def study_agreement(directory: StudyDirectory, coordinator: CoordinatorSettings, center: str) -> StudyAgreement:
    """The agreement of one center of a prepared study.

    Raises:
        StudyError: the study is not prepared.
    """
    study = read_study(directory.study_file)
    settings, plan = study.settings_for(center), plan_of(study, center)
    try:
        specs = read_specs(directory.root / "tensors.json")
    except (OSError, ValueError) as error:
        raise StudyError(f"{directory.root} is not complete ({error}); run `concilium study init` again") from error
    backbone = backbone_file(directory, study)
    down, up = bytes_per_round(study, specs, center)
    return StudyAgreement(
        study=study.name,
        title=study.title,
        settings=settings,
        plan=plan,
        agreed_sha256=agreed_digest(settings, plan),
        model=study.model.name,
        modalities=study.centers[center].modalities,
        rows=study.centers[center].rows,
        flower=".".join(version("flwr").split(".")[:2]),
        concilium=version("concilium"),
        bundle_sha256=bundle_sha256(),
        run_options=RUN_OPTIONS,
        image=coordinator.image,
        backbone_sha256=backbone[0],
        backbone_bytes=backbone[1],
        disk_bytes=disk_bytes(study, specs, down, up),
        gpu_memory_bytes=gpu_memory_bytes(study, specs),
        minimum_cases=minimum_cases(study),
        bytes_down_per_round=down,
        bytes_up_per_round=up,
    )


def backbone_file(directory: StudyDirectory, study: Study) -> tuple[str, int]:
    """Content hash and size of the backbone's file; ("", 0) where none goes because the first stage trains it."""
    files = sorted(directory.backbones.glob("*.safetensors"))
    if not files or BACKBONE in study.stages[0].trained:
        return "", 0
    return files[0].stem, files[0].stat().st_size


def bytes_per_round(study: Study, specs: Iterable[TensorSpec], center: str) -> tuple[int, int]:
    """Tensor bytes down to and up from a center in one round, the largest of the stages that it trains in."""
    specs, rank, offers = tuple(specs), study.centers[center].rank, set(study.centers[center].modalities)
    terms = list(terms_with_weight(study.strategy.terms))
    returned, compared = sum(bool(term.returns) for term in terms), any(term.compares for term in terms)
    down = up = 0
    for index, stage in enumerate(study.stages):
        if center not in stage.centers:
            continue
        held = groups_held(study, index)
        mine = {spec.group for spec in specs if NEEDS.get(spec.group, frozenset()) <= offers}
        sent = max(
            _bytes(specs, _of_kinds(mine, stage.trained), rank) * (1 + returned),
            _bytes(specs, _of_kinds(mine, study.strategy.personal), rank),
        )
        extra = _bytes(specs, set(stage.trained), rank) * returned + _bytes(specs, held - {BACKBONE}, rank) * compared
        down, up = max(down, _bytes(specs, held, rank) + extra), max(up, sent)
    return down, up


def groups_held(study: Study, index: int) -> set[str]:
    """The tensor groups that travel down in the rounds of a stage, by its index."""
    stage = study.stages[index]
    before = {str(group) for earlier in study.stages[:index] for group in earlier.trained} - {BACKBONE}
    personal = set() if BACKBONE in stage.trained else {str(group) for group in study.strategy.personal}
    return before | {str(group) for group in stage.trained} | personal


def disk_bytes(study: Study, specs: Iterable[TensorSpec], down: int, up: int) -> int:
    """Disk that a center's home needs."""
    backbone = _bytes(specs, {BACKBONE}, None)
    voxels = math.prod(f / s for f, s in zip(FIELD_ZYX_MM, study.preprocessing.spacing_zyx_mm, strict=True))
    cache = CACHED_CASES * CHANNELS * VALUE_BYTES * voxels * _has_images(study)
    return int(WORKING_BYTES + 3 * backbone + down + 3 * up + cache)


def gpu_memory_bytes(study: Study, specs: Iterable[TensorSpec]) -> int:
    """GPU memory that training needs; 0 where a CPU suffices."""
    specs = tuple(specs)
    weights = _bytes(specs, {spec.group for spec in specs}, None)
    largest = max(_stage_bytes(study, stage, specs) for stage in study.stages)
    found = weights + largest
    return found if found >= CPU_SUFFICES_BYTES else 0


def minimum_cases(study: Study) -> int:
    """Fewest usable cases with which every part of the study's split that is not empty gets one."""
    return 1 + (study.split.validation > 0) + (study.split.test > 0)


def _stage_bytes(study: Study, stage: Stage, specs: tuple[TensorSpec, ...]) -> int:
    voxels = stage.batch_size * math.prod(study.preprocessing.crop_zyx) * _has_images(study)
    return 3 * _bytes(specs, set(stage.trained), None) + ACTIVATION_BYTES * voxels


def _has_images(study: Study) -> bool:
    return any(set(center.modalities) & set(IMAGES) for center in study.centers.values())


def _bytes(specs: Iterable[TensorSpec], groups: Iterable[str], rank: int | None) -> int:
    wanted = set(groups)
    found = [spec for spec in specs if spec.group in wanted or kind_of(spec.group) in wanted]
    return VALUE_BYTES * sum(math.prod(at_rank(spec, rank).shape) for spec in found)


def _of_kinds(groups: Iterable[str], kinds: Iterable[str]) -> set[str]:
    """Those groups that a stage names so, with their banks."""
    wanted = set(kinds)
    return {group for group in groups if kind_of(group) in wanted}
