"""The synthetic cohort: phantoms seen by the scanners of several centers, written as NIfTI in the layout of real data.

    <root>/<center>/<case>/{ct,pet,gtv}.nii.gz     <root>/<center>/labels.csv
    <root>/participants.csv                        <root>/README.txt

Every patient is drawn from the seed and its own name: adding a center or a patient changes no other. Labels have a
generator of their own, so that images are the same whatever is drawn for them.
"""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from client.data.phantom import FASTED, Anatomy, draw_phantom
from client.data.scanner import CtScanner, PetScanner, Scan, scan
from client.data.synthetic_labels import (
    COLUMNS,
    SyntheticLabels,
    draw_labels,
    draw_record,
    ehr_score,
    image_scores,
)
from client.data.volume import write_volume
from protocol.errors import CaseError
from protocol.storage.atomic_files import CASE_FILE, write_text

PREFIX = "synthetic-"


@dataclass(frozen=True)
class SyntheticCenter:
    """A synthetic center: its scanners, its patients and how many; `pet` is None at a CT-only center."""

    name: str
    ct: CtScanner
    pet: PetScanner | None
    patients: int = 10
    anatomy: Anatomy = FASTED

    @property
    def cases(self) -> tuple[str, ...]:
        """Case names; every one says that it is synthetic."""
        return tuple(f"{PREFIX}{self.name}-{number:02d}" for number in range(1, self.patients + 1))


CENTERS: tuple[SyntheticCenter, ...] = (
    SyntheticCenter(
        name="center-a",
        ct=CtScanner(spacing_zyx_mm=(4.0, 3.0, 3.0), noise_hu=10, offset_hu=0),
        pet=PetScanner(spacing_zyx_mm=(4.0, 5.47, 5.47), psf_fwhm_mm=6.0, counts_per_suv_ml=500),
    ),
    SyntheticCenter(
        name="center-b",
        ct=CtScanner(spacing_zyx_mm=(3.27, 3.5, 3.5), noise_hu=14, offset_hu=12),
        pet=PetScanner(spacing_zyx_mm=(3.27, 4.69, 4.69), psf_fwhm_mm=5.0, counts_per_suv_ml=300),
    ),
    SyntheticCenter(
        name="center-c",
        ct=CtScanner(spacing_zyx_mm=(4.0, 4.0, 4.0), noise_hu=8, offset_hu=-10),
        pet=PetScanner(spacing_zyx_mm=(4.0, 3.91, 3.91), psf_fwhm_mm=7.5, counts_per_suv_ml=200),
    ),
    SyntheticCenter(
        name="center-d",
        ct=CtScanner(spacing_zyx_mm=(4.0, 3.0, 3.0), noise_hu=18, offset_hu=6),
        pet=None,
    ),
)

README = """SYNTHETIC DATA - NO PATIENT IS IN THIS FOLDER

Every image here was computed by Concilium from analytical shapes (seed {seed}): a trunk with lungs, bone, organs
with physiological uptake, cysts, and one tumour a case. Nothing was measured on a human being, and no result on
these images says anything about clinical performance. "Centers" are settings of simulated scanners:

{centers}

Layout: <center>/<case>/ct.nii.gz (HU), pet.nii.gz (SUV, own grid), gtv.nii.gz (0/1, on the CT grid).

SYNTHETIC LABELS: <center>/labels.csv was drawn from a formula too (client/data/synthetic_labels.py); it is nobody's
record. An empty cell is a missing value.
  case       the folder's name
  subtype    class 0 or 1, likelier 1 for wasted muscle, a large dull part (CT shows both) and much uptake (PET does)
  days       whole days to the event, or to the end of follow-up
  event      1 where the event came, 0 where the patient was censored before
  age_years  age; an older patient has the event earlier
  stage      1 to 4; a higher one has the event earlier
Time to the event also shortens with wasted muscle, with the volume of the tumour's dull part and with the total uptake
of its hot part.
"""


def write_synthetic_cohort(root: Path, *, centers: Sequence[SyntheticCenter] = CENTERS, seed: int) -> None:
    """Write the synthetic cases of all centers; the same seed gives the same bytes.

    Raises:
        CaseError: a center's folder holds cases that this cohort does not have.
        StorageError: a file cannot be written.
    """
    for center in centers:
        _refuse_other_cases(root / center.name, center)
    for center in centers:
        for name in center.cases:
            _write_case(root / center.name / name, acquire(center, name, seed))
        write_text(root / center.name / "labels.csv", _table(_labelled(center, seed)))
    write_text(root / "participants.csv", _table(_rows(centers)))
    described = "\n".join(
        f"  {center.name}: {center.patients} cases, {center.ct}, {center.pet}, {center.anatomy}" for center in centers
    )
    write_text(root / "README.txt", README.format(seed=seed, centers=described))


def acquire(center: SyntheticCenter, case: str, seed: int) -> Scan:
    """One synthetic case as the center's scanners see it."""
    rng = _generator(f"{seed}|{case}")
    phantom = draw_phantom(rng, center.anatomy)
    x, y, z = (float(shift) for shift in rng.uniform((-20, -180, -800), (20, -140, 400)))
    return scan(phantom, center.ct, center.pet, (x, y, z), rng)


def labels_of(center: SyntheticCenter, case: str, seed: int) -> SyntheticLabels:
    """One synthetic case's row of the table."""
    phantom = draw_phantom(_generator(f"{seed}|{case}"), center.anatomy)
    return draw_labels(phantom, _generator(f"{seed}|{case}|labels"))


def score_patient(center: SyntheticCenter, case: str, seed: int) -> tuple[float, float, float]:
    """What CT, PET and record say of a patient, as the time to the event was drawn from them: s_CT, s_PET, s_E."""
    phantom = draw_phantom(_generator(f"{seed}|{case}"), center.anatomy)
    return (*image_scores(phantom), ehr_score(*draw_record(_generator(f"{seed}|{case}|labels"))))


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "big"))


def _write_case(folder: Path, images: Scan) -> None:
    write_volume(images.ct, folder / "ct.nii.gz", mode=CASE_FILE)
    write_volume(images.gtv, folder / "gtv.nii.gz", mode=CASE_FILE)
    if images.pet is not None:
        write_volume(images.pet, folder / "pet.nii.gz", mode=CASE_FILE)


def _refuse_other_cases(folder: Path, center: SyntheticCenter) -> None:
    found = {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
    others = sorted(found - set(center.cases))
    if others:
        raise CaseError(
            f"{folder} holds {len(others)} case(s) that are not of this synthetic cohort, such as '{others[0]}'; "
            "choose an empty folder"
        )


def _table(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _labelled(center: SyntheticCenter, seed: int) -> Iterator[tuple[str, ...]]:
    yield COLUMNS
    yield from ((case, *labels_of(center, case, seed).cells()) for case in center.cases)


def _rows(centers: Sequence[SyntheticCenter]) -> Iterator[tuple[str, str, str]]:
    yield "patient", "center", "pet_spacing_mm"
    for center in centers:
        spacing = f"{center.pet.spacing_zyx_mm[2]:g}" if center.pet else ""
        yield from ((case, center.name, spacing) for case in center.cases)
