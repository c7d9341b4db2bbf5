"""Refuses an instruction that asks for more than this machine should do, before any memory is taken for it.

    network    values of the network with its adapters, counted without memory, times 16 bytes: value, gradient and two
               moments of AdamW
    batch      batch size times voxels of a crop times 1 KiB; the smallest network here takes 0.6 KiB of a voxel
    cases      9 bytes for each voxel of the study's grid of all cases: CT and PET in float32, the contour
    windows    voxels of a case by voxels of a crop: how often the network runs over one case
    time       from the beginning of the work; looked at before each step and case

These estimates are low: what they refuse could not have been done. What they let through may still be too much for a
machine that does other things as well.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path

import torch

from client.data.manifest import Case
from client.home.agreement import ExcessiveError
from client.home.limits import WorkLimits
from client.learning.assembly import build, inject_adapter, row_of
from client.learning.cancellation import Check
from fusion_models.parameter_count import MOST_TENSORS, TooLargeError, count_parameters
from protocol.messages.instruction import SUM_KINDS, Instruction
from protocol.messages.settings import Preprocessing, StudySettings
from protocol.modalities import IMAGES

GIB = 1 << 30
BYTES_PER_VALUE, BYTES_PER_VOXEL, BYTES_PER_PREPARED_VOXEL = 16, 1024, 9
LARGEST_NUMBER, LONGEST_LIST = 65_536, 64
MOST_OUTPUTS, MOST_COVARIATES = 10_000, 10_000
MOST_WINDOWS = 250_000
FINEST_MM = 0.1
NO_END = 1 << 62
UNBUILT = ("register", "collect", *SUM_KINDS)
MEMORY, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")


def check_bearable(instruction: Instruction, center: str, limits: WorkLimits, device: str) -> None:
    """Refuse what is more than the center does for one instruction.

    Args:
        instruction: what the coordinator asks.
        center: who is asked.
        limits: what the center allows.
        device: where its networks run.

    Raises:
        ExcessiveError: with everything that is too much, what was found, the limit, and what allows more.
        ModelError: the model is unknown or cannot do what is asked.
    """
    findings = [*_number_findings(instruction, limits), *_count_findings(instruction)]
    if not findings and instruction.kind not in UNBUILT:
        findings += _memory_findings(instruction, memory_bytes(limits, device))
    refuse(findings, center, f"'{instruction.kind}' of stage '{instruction.stage}', round {instruction.server_round}")


def refuse(findings: Sequence[str], center: str, about: str) -> None:
    """Say what is too much.

    Raises:
        ExcessiveError: there is anything.
    """
    if findings:
        raise ExcessiveError(f"center '{center}': {about} asks for too much; nothing was done: {'; '.join(findings)}")


def case_findings(cases: Sequence[Case], settings: Preprocessing, memory: int) -> Iterator[str]:
    """What is too much of the study's grid for cases whose images have been looked at.

    Args:
        cases: those that would be prepared.
        settings: the grid, and the crop that windows have.
        memory: bytes that may be used.
    """
    voxels = {case.name: prepared_voxels(case, settings) for case in cases}
    needed = BYTES_PER_PREPARED_VOXEL * sum(voxels.values())
    spacing = " x ".join(f"{step:g}" for step in settings.spacing_zyx_mm)
    if needed > memory:
        yield (
            f"{len(cases)} case(s) on a grid of {spacing} mm need {needed / GIB:.3g} GiB, there are "
            f"{memory / GIB:.3g}; --maximum-memory allows more"
        )
    largest = max(voxels, key=lambda name: voxels[name], default="")
    windows = voxels.get(largest, 0) / math.prod(settings.crop_zyx)
    if windows > MOST_WINDOWS:
        crop = " x ".join(map(str, settings.crop_zyx))
        yield f"case '{largest}' has {windows:.3g} windows of {crop} voxels, expected at most {MOST_WINDOWS}"


def prepared_voxels(case: Case, settings: Preprocessing) -> float:
    """Voxels of a case on the study's grid: its extent, that of its CT or else its PET, by the spacing."""
    for modality in IMAGES:
        if modality in case.grids:
            grid = case.grids[modality]
            axes = zip(grid.shape_zyx, grid.spacing_zyx_mm, settings.spacing_zyx_mm, strict=True)
            return math.prod(max(1.0, size * old / new) for size, old, new in axes)
    return 0.0


def memory_bytes(limits: WorkLimits, device: str) -> int:
    """What may be used: what the center says, or what the device has."""
    if limits.memory_gib:
        return int(limits.memory_gib * GIB)
    if device.startswith("cuda") and torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(device).total_memory)
    return main_memory_bytes()


def main_memory(limits: WorkLimits) -> int:
    """What prepared cases may take of main memory: what the center says, or what there is."""
    return int(limits.memory_gib * GIB) if limits.memory_gib else main_memory_bytes()


def main_memory_bytes() -> int:
    """Main memory of the machine, or of the container; where nobody says, no end of it."""
    found = []
    for path, unit in ((MEMORY, 1024), (CGROUP, 1)):
        try:
            words = path.read_text(encoding="ascii", errors="replace").split()
        except OSError:
            continue
        number = words[words.index("MemTotal:") + 1] if "MemTotal:" in words else words[0] if words else ""
        found += [int(number) * unit] if number.isdigit() else []
    return min(found, default=NO_END)


def end_in_time(check: Check, limits: WorkLimits, center: str, clock: Callable[[], float] = time.monotonic) -> Check:
    """The same check, which also ends work that takes longer than the center allows.

    Args:
        check: raises when the work is not wanted any more.
        limits: what the center allows.
        center: whose work it is.
        clock: seconds that only rise; the work begins now.
    """
    ends_at = clock() + 3600 * limits.hours

    def check_both() -> None:
        check()
        if clock() >= ends_at:
            raise ExcessiveError(
                f"center '{center}': the work took longer than {limits.hours:g} h and was broken off; nothing of it "
                "leaves. --maximum-hours allows more"
            )

    return check_both


def _number_findings(instruction: Instruction, limits: WorkLimits) -> Iterator[str]:
    """Batch, ranks, spacing and the sizes of a model, one by one."""
    settings, training = instruction.settings, instruction.training
    if training is not None and training.batch_size > limits.batch:
        yield f"a batch of {training.batch_size}, this center does at most {limits.batch}; --maximum-batch allows more"
    if min(settings.preprocessing.spacing_zyx_mm) < FINEST_MM:
        yield f"a grid of {min(settings.preprocessing.spacing_zyx_mm):g} mm, expected at least {FINEST_MM:g}"
    ranks = {"adapter.rank": settings.adapter.rank, "center_rank": settings.center_rank}
    numbers = {**ranks, "sketch_rank": settings.sketch_rank, **_option_numbers(settings)}
    for name, number in numbers.items():
        if abs(number) > LARGEST_NUMBER:
            yield f"{name} of {number:g}, expected at most {LARGEST_NUMBER}"


def _option_numbers(settings: StudySettings) -> Mapping[str, float]:
    """The largest number of each option of the model, and the lengths of its lists."""
    found: dict[str, float] = {}
    for name, value in settings.model.options.items():
        entries = value if isinstance(value, tuple) else (value,)
        numbers = [abs(entry) for entry in entries if isinstance(entry, int | float)]
        too_long = len(entries) > LONGEST_LIST
        found[f"model option '{name}'"] = LARGEST_NUMBER + 1.0 if too_long else float(max(numbers, default=0))
    return found


def _count_findings(instruction: Instruction) -> Iterator[str]:
    """How many tensors, statistics, tasks and outputs."""
    parts = {"tensors": instruction.tensors, "reference": instruction.reference, "backbone": instruction.backbone}
    for name, tensors in parts.items():
        if len(tensors) > MOST_TENSORS:
            yield f"{len(tensors)} {name}, expected at most {MOST_TENSORS}"
    settings = instruction.settings
    for name, asked in (("statistics", instruction.statistics), ("tasks", settings.tasks)):
        if len(set(asked)) < len(asked):
            yield f"{len(asked)} {name}, of which {len(set(asked))} differ; expected each once"
    labels = settings.labels
    outputs = len(labels.endpoints) * labels.survival.outputs + (len(labels.classes.values) if labels.classes else 0)
    if outputs > MOST_OUTPUTS:
        yield f"{outputs} outputs for a case, expected at most {MOST_OUTPUTS}"
    if labels.covariate_width > MOST_COVARIATES:
        yield f"{labels.covariate_width} entries of covariates, expected at most {MOST_COVARIATES}"
    rows = settings.sketch_rank
    for key, array in chain(instruction.tensors.items(), instruction.reference.items()):
        if key.endswith("@gram") and array.shape[:1] > (rows,):
            yield f"'{key}' has {array.shape[0]} rows, expected at most sketch_rank {rows}"


def _memory_findings(instruction: Instruction, memory: int) -> Iterator[str]:
    """The batch and the network, each in turn: a network is not even counted where the batch is too much."""
    settings, training = instruction.settings, instruction.training
    images = any(part in IMAGES for setting in row_of(settings).settings for part in setting.split("+"))
    crop, batch = math.prod(settings.preprocessing.crop_zyx), training.batch_size if training else 1
    needed = batch * crop * BYTES_PER_VOXEL if images else 0
    if needed > memory:
        yield (
            f"a step of {batch} crop(s) of {crop} voxels needs {needed / GIB:.3g} GiB or more, there are "
            f"{memory / GIB:.3g}; --maximum-memory allows more"
        )
        return
    try:
        _count(settings.model_dump_json(), memory // BYTES_PER_VALUE)
    except TooLargeError as error:
        yield (
            f"model '{settings.model.name}' has {error}, {memory / GIB:.3g} GiB hold no more when it trains; "
            "--maximum-memory allows more"
        )


@lru_cache(maxsize=8)
def _count(settings_json: str, most: int) -> int:
    """Values of the network, `most` at most; what cannot be built without memory is left to the building itself.

    Raises:
        TooLargeError: there are more.
    """
    settings = StudySettings.model_validate_json(settings_json)
    row = row_of(settings)

    def adapted() -> torch.nn.Module:
        model = build(settings, row)
        inject_adapter(model, settings, row)
        return model

    try:
        return count_parameters(adapted, most)
    except TooLargeError:
        raise
    except (RuntimeError, NotImplementedError, ValueError):
        return 0
