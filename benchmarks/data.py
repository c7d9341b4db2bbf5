"""From DICOM to what a network trains on: cases a minute and peak memory, beside a plain MONAI pipeline.

    pip install nibabel
    CONCILIUM_DATA=../shared/data python benchmarks/data.py --work FOLDER [--copies 6] [--made 2] [--repeats 3]

Two sets of cases: copies of the three real patients of sts_dicom under UIDs of their own (cropped images of 2.5 million
voxels), and made whole bodies (CT of 512 x 512 x 300, PET of 168 x 168 x 300: made, nobody's). Each arm is a process of
its own that uses all cores, and starts from the DICOM files every time; arms take turns, figures are medians:

Concilium         convert (CT in HU, PET in SUV, contours, checks, NIfTI files), then every case prepared into the cache
MONAI             LoadImage by pydicom, Orientation, Spacing, ResampleToMatch, ScaleIntensityRange, saved by torch, by a
                  DataLoader with a worker a core. It has no SUV, no contours and no checks: the factor of SUV is given
                  to it, and no contour asked for
MONAI, smoothed   the same, and images are smoothed before they are made coarser, as Concilium does: equal results

Clocks start when each arm has imported what it needs; Concilium's workers import it again, and that counts. On a
machine that others use too, processor seconds say more than the clock. Peak memory is that of an arm's processes
together (PSS, Linux). "apart" says how far the values of both pipelines lie apart on MONAI's own grid: the median and
the 99th percentile of the difference, in shares of the window. The last line is one JSON object.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from protocol.messages.settings import Preprocessing

ARMS = ("Concilium", "MONAI", "MONAI, smoothed")
SMOOTHED = ARMS[2]
SETTINGS = Preprocessing(spacing_zyx_mm=(4.0, 4.0, 4.0))
CT_SHAPE, PET_SHAPE = (300, 512, 512), (300, 168, 168)
FDG_HALF_LIFE_S, WEIGHT_G, DOSE_BQ, DELAY_S = 6586.2, 70e3, 350e6, 3600.0
STANDARD_ROOT = "1.2.840.10008"
SAMPLE_S = 0.5


def copy_real(source: Path, target: Path, copies: int) -> None:
    """The patients of sts_dicom, each several times, with patient and UIDs of its own; kept from an earlier run."""
    from pydicom import dcmread

    for number in range(copies):
        for path in sorted(source.rglob("*.dcm")):
            written = target / f"{number}" / path.relative_to(source)
            if written.exists():
                continue
            data = dcmread(path)
            data.PatientID = f"{data.PatientID}-{number}"
            data.walk(lambda _, element, number=number: _rename(element, number))
            data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
            written.parent.mkdir(parents=True, exist_ok=True)
            data.save_as(written)


def _rename(element: Any, number: int) -> None:
    if element.VR == "UI" and element.value and not str(element.value).startswith(STANDARD_ROOT):
        element.value = f"{str(element.value)[:60]}.{number}"


def make_bodies(target: Path, count: int) -> None:
    """Whole bodies of noise within an ellipse, by the program that makes the tests' studies."""
    from tests.support.dicom_study import MadeGrid, MadeStudy, write_ct, write_pet

    for number in range(count):
        folder = target / f"made-{number}"
        if (folder / "PET").exists():
            continue
        rng, study = np.random.default_rng(number), MadeStudy(patient_id=f"MADE-{number}")
        ct_grid = MadeGrid((3.0, 0.977, 0.977), (-250.0, -250.0, 0.0))
        pet_grid = MadeGrid((3.0, 2.97, 2.97), (-249.0, -249.0, 0.0))
        hu = np.where(_ellipse(CT_SHAPE), rng.normal(20, 30, CT_SHAPE).astype(np.float32), np.float32(-1000))
        write_ct(folder / "CT", study, hu, ct_grid)
        uptake = np.where(_ellipse(PET_SHAPE), rng.gamma(4, 1200, PET_SHAPE).astype(np.float32), np.float32(10))
        write_pet(folder / "PET", study, uptake, pet_grid, dose_bq=DOSE_BQ, delay_s=DELAY_S)


def _ellipse(shape_zyx: Sequence[int]) -> np.ndarray:
    y, x = (np.linspace(-1, 1, size, dtype=np.float32) for size in shape_zyx[1:])
    return np.broadcast_to((y[:, None] / 0.5) ** 2 + (x / 0.7) ** 2 < 1, shape_zyx)


class Screen:
    """Nobody watches."""

    def begin(self, cases: int) -> None:
        """Of no interest."""

    def finish(self, outcome: Any) -> None:
        """A case that failed would make the figures wrong."""
        if outcome.state != "converted":
            raise SystemExit(f"{outcome.case}: {outcome.state}: {[issue.message for issue in outcome.issues]}")

    def stopped(self) -> bool:
        """Never."""
        return False


def run_ours(source: Path, out: Path, *, declared_suv: bool) -> dict[str, float]:
    """Convert, then prepare every case; seconds of both."""
    from client.convert.contract import Choices
    from client.convert.conversion_run import convert
    from client.convert.identities import open_private
    from client.convert.planning import find_cases, plan
    from client.data.preprocessing import prepare_once
    from client.data.scan import scan_folders
    from client.learning.cancellation import never_cancelled
    from client.service.preparation import Job, prepare_missing

    start, spent = time.perf_counter(), processor_s()
    choices, private, dest = Choices(declared_suv=declared_suv), open_private(out / "private"), out / "data"
    found = find_cases(source, "dicom", choices, private, lambda _: None)
    convert(plan(found, source, dest, "dicom", choices, private), dest, private, Screen(), jobs=cores())
    converted = time.perf_counter()
    (folder,) = scan_folders("benchmark", [dest], ("ct", "pet"))
    cache = out / "cache"
    prepare_missing([Job(case, SETTINGS, cache) for case in folder.cases], never_cancelled)
    for case in folder.cases:
        prepare_once(case.name, case.paths, case.checksums, SETTINGS, cache)
    ended = time.perf_counter()
    end_workers()
    stages = {"convert_s": converted - start, "prepare_s": ended - converted}
    return {**stages, "wall_s": ended - start, "processor_s": processor_s() - spent}


def run_monai(source: Path, out: Path, *, factor: float, smoothed: bool) -> dict[str, float]:
    """MONAI's transforms over every folder that has a CT and a PET."""
    import torch
    from monai.data import Dataset
    from monai.transforms import (
        Compose,
        LoadImaged,
        Orientationd,
        ResampleToMatchd,
        ScaleIntensityRanged,
        Spacingd,
    )

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # a worker a core
    keys, (z_mm, y_mm, x_mm) = ("ct", "pet"), SETTINGS.spacing_zyx_mm
    steps: list[Callable[[Any], Any]] = [
        LoadImaged(keys, reader="PydicomReader", ensure_channel_first=True),
        Orientationd(keys, "LPS"),
        *([_smooth] if smoothed else []),
        Spacingd("ct", (x_mm, y_mm, z_mm)),
        ResampleToMatchd("pet", "ct"),
        lambda case: {**case, "pet": case["pet"] * factor},
        ScaleIntensityRanged("ct", *SETTINGS.ct_window_hu, 0, 1, clip=True),
        ScaleIntensityRanged("pet", *SETTINGS.pet_window_suv, 0, 1, clip=True),
        lambda case: _save(case, out),
    ]
    folders = sorted(path.parent for path in source.rglob("CT"))
    rows = [
        {
            "ct": str(next(path for path in (folder / "CT" / "image", folder / "CT") if path.exists())),
            "pet": str(next(path for path in (folder / "PET" / "image", folder / "PET") if path.exists())),
            "name": "-".join(folder.relative_to(source).parts),
        }
        for folder in folders
    ]
    out.mkdir(parents=True, exist_ok=True)
    start, spent = time.perf_counter(), processor_s()
    loader = torch.utils.data.DataLoader(Dataset(rows, Compose(steps)), num_workers=cores(), batch_size=None)
    for _ in loader:
        pass
    del loader
    return {"wall_s": time.perf_counter() - start, "processor_s": processor_s() - spent}


def _smooth(case: dict[str, Any]) -> dict[str, Any]:
    """Gaussian of the width that Concilium takes, where an axis becomes coarser."""
    from monai.transforms import GaussianSmooth

    for key in ("ct", "pet"):
        pairs = zip(case[key].pixdim.tolist(), SETTINGS.spacing_zyx_mm[::-1], strict=True)
        sigmas = [0.5 * max(new**2 - old**2, 0) ** 0.5 / (2 * np.log(2)) ** 0.5 / old for old, new in pairs]
        case[key] = GaussianSmooth([max(sigma, 1e-6) for sigma in sigmas])(case[key])
    return case


def _save(case: dict[str, Any], out: Path) -> str:
    import torch

    arrays = {key: case[key].as_tensor().clone() for key in ("ct", "pet")}
    torch.save({**arrays, "affine": case["ct"].affine}, out / f"{case['name']}.pt")
    return str(case["name"])


def compare(source: Path, peer: Path, *, declared_suv: bool) -> dict[str, list[float]]:
    """Median and 99th percentile of how far MONAI's values of the first case lie from ours on its grid, in windows."""
    import torch

    from client.convert.contract import Choices
    from client.convert.dicom_layout import find_dicom_cases
    from client.data.preprocessing import OUTSIDE, resample, rescale
    from client.data.volume import to_image

    first = sorted(path.parent for path in source.rglob("CT"))[0]
    (found,) = find_dicom_cases(first, Choices(declared_suv=declared_suv), peer / "unpacked", lambda _: None).cases
    read = found.read("case")
    kept = torch.load(peer / f"{'-'.join(first.relative_to(source).parts)}.pt", weights_only=False)
    grid = _grid_of(kept["affine"].numpy(), kept["ct"].shape[1:])
    windows = {"ct": SETTINGS.ct_window_hu, "pet": SETTINGS.pet_window_suv}
    differences = {}
    for key, volume in (("ct", read.ct), ("pet", read.pet)):
        ours = rescale(resample(to_image(volume), grid, outside=OUTSIDE[key]), windows[key])
        apart = np.abs(ours - kept[key][0].numpy().transpose(2, 1, 0))[1:-1, 1:-1, 1:-1]
        differences[key] = [float(np.percentile(apart, share)) for share in (50, 99)]
    return differences


def _grid_of(affine: np.ndarray, size_xyz: Sequence[int]) -> Any:
    """MONAI's grid, whose axes point to left, posterior and superior, as an image."""
    import SimpleITK as sitk

    grid = sitk.Image([int(size) for size in size_xyz], sitk.sitkFloat32)
    to_lps = np.diag([-1.0, -1.0, 1.0])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    grid.SetSpacing(spacing.tolist())
    grid.SetOrigin((to_lps @ affine[:3, 3]).tolist())
    grid.SetDirection((to_lps @ affine[:3, :3] / spacing).ravel().tolist())
    return grid


def cores() -> int:
    """Those of this process."""
    return len(os.sched_getaffinity(0))


def measure(arm: str, source: Path, out: Path, *, real: bool) -> dict[str, float]:
    """One arm in a process of its own: its seconds, processor seconds, and peak memory of all its processes."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    command = [sys.executable, __file__, "--arm", arm, str(source), str(out), "real" if real else "made"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - starts itself
    peak: list[float] = [0.0]
    watch = threading.Thread(target=_watch, args=(process, peak))
    watch.start()
    text, _ = process.communicate()
    watch.join()
    if process.returncode:
        raise SystemExit(f"{arm} failed")
    return {**json.loads(text.strip().splitlines()[-1]), "peak_mib": peak[0]}


def _watch(process: "subprocess.Popen[str]", peak: list[float]) -> None:
    while process.poll() is None:
        peak[0] = max(peak[0], sum(map(_pss_mib, _family(process.pid))))
        time.sleep(SAMPLE_S)


def _family(pid: int) -> list[int]:
    found = [pid]
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children = (task / "children").read_text().split()
            found += [member for child in children for member in _family(int(child))]
    return found


def _pss_mib(pid: int) -> float:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("Pss:"))) / 1024
    return 0.0


def run_arm(arm: str, source: Path, out: Path, kind: str) -> None:
    """What the process of one arm does."""
    real = kind == "real"
    factor = 1.0 if real else WEIGHT_G / (DOSE_BQ * 2 ** (-DELAY_S / FDG_HALF_LIFE_S))
    if arm == ARMS[0]:
        found = run_ours(source, out, declared_suv=real)
    else:
        found = run_monai(source, out, factor=factor, smoothed=arm == SMOOTHED)
    print(json.dumps(found))


def end_workers() -> None:
    """End the server that workers were forked from, so that what both used counts, as the program's end would."""
    from multiprocessing import forkserver

    forkserver._forkserver._stop()  # noqa: SLF001 - there is no public way


def processor_s() -> float:
    """Of this process and of those it started that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure_set(source: Path, work: Path, repeats: int, *, real: bool) -> dict[str, Any]:
    """All arms in turn over one set of cases; medians, and how far the values of the pipelines lie apart."""
    cases = len({path.parent for path in source.rglob("CT")})
    folders = {arm: work / arm.replace(", ", "-") for arm in ARMS}
    turns = [{arm: measure(arm, source, out, real=real) for arm, out in folders.items()} for _ in range(repeats)]
    arms = {arm: {key: statistics.median(turn[arm][key] for turn in turns) for key in turns[0][arm]} for arm in ARMS}
    for figures in arms.values():
        figures["cases_per_minute"] = 60 * cases / figures["wall_s"]
    times = {
        f"{arm}, {key}": statistics.median(turn[arm][key] / turn[ARMS[0]][key] for turn in turns)
        for arm in ARMS[1:]
        for key in ("wall_s", "processor_s")
    }
    equal = {arm: compare(source, folders[arm], declared_suv=real) for arm in ARMS[1:]}
    return {"cases": cases, "arms": arms, "times_ours": times, "equal": equal}


def table_of(name: str, found: Mapping[str, Any]) -> Table:
    """A row for each arm."""
    heads = ("arm", "cases/min", "wall s", "processor s", "times ours: wall, processor", "peak MiB")
    table = Table(*heads, "apart: CT", "PET", title=name)
    for arm, figures in found["arms"].items():
        times = ", ".join(f"{found['times_ours'].get(f'{arm}, {key}', 1.0):.2f}" for key in ("wall_s", "processor_s"))
        apart = found["equal"].get(arm)
        cells = [f"{pair[0]:.1e}, {pair[1]:.1e}" for pair in apart.values()] if apart else ["-", "-"]
        numbers = (figures["cases_per_minute"], figures["wall_s"], figures["processor_s"])
        row = [f"{number:.1f}" for number in numbers]
        table.add_row(arm, *row, times, f"{figures['peak_mib']:.0f}", *cells)
    return table


def main() -> None:
    """Measure both sets and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="a folder for studies and results, 3 GB with the defaults")
    parser.add_argument("--copies", type=int, default=6, help="of each real patient")
    parser.add_argument("--made", type=int, default=2, help="whole bodies")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--arm", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        arm, source, out, kind = options.arm
        run_arm(arm, Path(source), Path(out), kind)
        return
    real = Path(os.environ.get("CONCILIUM_DATA", "../shared/data")) / "sts_dicom"
    copy_real(real, options.work / "real", options.copies)
    make_bodies(options.work / "made", options.made)
    console, sets = Console(width=130), {}
    for name in ("real", "made"):
        if (options.work / name).exists():
            sets[name] = measure_set(options.work / name, options.work / "out", options.repeats, real=name == "real")
            console.print(table_of(f"{name}: {sets[name]['cases']} cases on {cores()} cores", sets[name]))
    setting = {"benchmark": "data", "cores": cores(), "repeats": options.repeats}
    print(json.dumps({**setting, "spacing_zyx_mm": SETTINGS.spacing_zyx_mm, "sets": sets}))


if __name__ == "__main__":
    main()
