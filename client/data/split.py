"""One split per patient: seeded, independent of listing order, drawn per data folder.

Patients are ranked by the hash of seed and identifier; the first ones test, the next ones validate, the rest
trains. A center that owns several folders splits each folder alone, so that a pooled center gives every
patient the part it has at its own center.
"""

import hashlib
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal

from client.data.manifest import Manifest
from protocol.messages.instruction import Part
from protocol.messages.settings import Split


def split_of(patients: Iterable[str], *, seed: int, validation: float, test: float) -> dict[str, Part]:
    """Give every patient one part.

    Shares are rounded half up. Two patients or more leave at least one in test and one in train, three or more
    also one in validation; a share of exactly 0 leaves its part empty. A single patient trains.
    """
    ranked = sorted(set(patients), key=lambda patient: _rank(seed, patient))
    tests, validations = _sizes(len(ranked), validation, test)
    sizes: dict[Part, int] = {"test": tests, "validation": validations, "train": len(ranked) - tests - validations}
    drawn = [part for part, size in sizes.items() for _ in range(size)]
    return dict(zip(ranked, drawn, strict=True))


def parts(manifest: Manifest, *, seed: int, split: Split) -> Mapping[str, Part]:
    """The part of every usable case that has a mask, by case name.

    The draw counts every patient of a folder whose case has a mask file, usable or not: a patient's part depends
    neither on the modalities a center offers nor on another case being repaired later.
    """
    labelled = [case for case in manifest.cases if case.labelled]
    found: dict[str, Part] = {}
    for folder in sorted({case.folder for case in labelled}):
        cases = [case for case in labelled if case.folder == folder]
        drawn = split_of((case.patient for case in cases), seed=seed, validation=split.validation, test=split.test)
        found |= {case.name: drawn[case.patient] for case in cases if case.usable}
    return found


def _sizes(patients: int, validation: float, test: float) -> tuple[int, int]:
    """Number of test and validation patients; training keeps at least one."""
    reserved = 2 if validation > 0 and patients >= 3 else 1
    tests = _clamp(_half_up(patients, test), patients - reserved, wanted=test > 0)
    validations = _clamp(_half_up(patients, validation), patients - tests - 1, wanted=validation > 0)
    return tests, validations


def _clamp(count: int, most: int, *, wanted: bool) -> int:
    return max(0, min(max(count, int(wanted)), most))


def _half_up(patients: int, share: float) -> int:
    """`patients * share` in decimal arithmetic: 0.29 * 50 is 14.5, not 14.499999999999998."""
    return int((Decimal(str(share)) * patients).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _rank(seed: int, patient: str) -> tuple[str, str]:
    return hashlib.sha256(f"{seed}|{patient}".encode()).hexdigest(), patient
