"""One split per patient: seeded, independent of listing order, drawn per data folder.

Patients are ranked by the hash of seed and identifier; the first ones test, the next ones validate, the rest
trains. A center that owns several folders, or several centers' rows of a table, splits each alone, so that a pooled
center gives every patient the part it has at its own center.

A study with classes or events splits by them: by those of its last task that has some, for survival by whether the
event of the first endpoint came. In a stratum of k patients the one of rank j (from 0) stands at

    q = (j + 1/2) / k

and q orders all patients before their hash does, so that each part holds its share of every stratum. A single patient
of a stratum has q = 1/2 and, by the usual shares, trains. One stratum alone keeps the order of the hashes.

Of F folds the f-th cuts its test patients out of the same order of n patients, from place

    h(n (f - 1) / F)  to before  h(n f / F),        h rounds half up

so that every patient tests in exactly one fold, folds differ by one patient at most, and each holds its share of every
stratum. Those who come next in the order, going round, validate; the rest trains.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from client.data.labels import CaseLabels
from client.data.manifest import Case, Manifest
from protocol.messages.instruction import Part
from protocol.messages.settings import Split
from protocol.tasks import TaskName

SEGMENTATION: tuple[TaskName, ...] = ("segmentation",)
UNKNOWN = -1
ONE_STRATUM: Mapping[str, int] = {}


def _class_of(labels: CaseLabels) -> int:
    return UNKNOWN if labels.class_index is None else labels.class_index


def _event_of(labels: CaseLabels) -> int:
    first = labels.endpoints[0] if labels.endpoints else None
    return UNKNOWN if first is None else first[1]


STRATA: Mapping[TaskName, Callable[[CaseLabels], int]] = {"classification": _class_of, "survival": _event_of}
"""The stratum of a case, for the tasks that have strata."""


def split_of(
    patients: Iterable[str], *, seed: int, validation: float, test: float, strata: Mapping[str, int] = ONE_STRATUM
) -> dict[str, Part]:
    """Give every patient one part.

    Shares are rounded half up. Two patients or more leave at least one in test and one in train, three or more
    also one in validation; a share of exactly 0 leaves its part empty. A single patient trains.
    """
    ranked = _by_quantile(sorted(set(patients), key=lambda patient: _rank(seed, patient)), strata)
    tests, validations = _sizes(len(ranked), validation, test)
    sizes: dict[Part, int] = {"test": tests, "validation": validations, "train": len(ranked) - tests - validations}
    drawn = [part for part, size in sizes.items() for _ in range(size)]
    return dict(zip(ranked, drawn, strict=True))


def fold_of(
    patients: Iterable[str],
    *,
    seed: int,
    validation: float,
    fold: int,
    folds: int,
    strata: Mapping[str, int] = ONE_STRATUM,
) -> dict[str, Part]:
    """Give every patient the part that it has in one fold, from 1 to `folds`.

    Fewer patients than folds leave some folds without a test patient. A single patient trains in all of them.
    """
    ranked = _by_quantile(sorted(set(patients), key=lambda patient: _rank(seed, patient)), strata)
    if len(ranked) == 1:
        return dict.fromkeys(ranked, "train")
    start, end = (_half_up_share(len(ranked) * place, folds) for place in (fold - 1, fold))
    others = ranked[end:] + ranked[:start]
    most = len(others) - 1
    validations = _clamp(_half_up(len(ranked), validation), most, wanted=validation > 0)
    found: dict[str, Part] = dict.fromkeys(ranked[start:end], "test")
    return found | dict.fromkeys(others[:validations], "validation") | dict.fromkeys(others[validations:], "train")


def parts(
    manifest: Manifest, *, seed: int, split: Split, tasks: Sequence[TaskName] = SEGMENTATION
) -> Mapping[str, Part]:
    """The part of every usable case that has the target of some task, by case name.

    The draw counts every patient of a folder whose case has one, usable or not: a patient's part depends neither on the
    images a center offers nor on another case being repaired later.
    """
    learned = [case for case in manifest.cases if any(case.has_target(task) for task in tasks)]
    found: dict[str, Part] = {}
    for folder in sorted({case.folder for case in learned}):
        cases = [case for case in learned if case.folder == folder]
        drawn = _draw({case.patient for case in cases}, seed, split, _strata(cases, tasks))
        found |= {case.name: drawn[case.patient] for case in cases if case.usable}
    return found


def _draw(patients: set[str], seed: int, split: Split, strata: Mapping[str, int]) -> dict[str, Part]:
    """The parts of one folder's patients, by shares or by folds."""
    if split.fold is None or split.folds is None:
        return split_of(patients, seed=seed, validation=split.validation, test=split.test, strata=strata)
    return fold_of(patients, seed=seed, validation=split.validation, fold=split.fold, folds=split.folds, strata=strata)


def _strata(cases: Sequence[Case], tasks: Sequence[TaskName]) -> dict[str, int]:
    """Patient -> stratum by the last task that has strata; of a patient's cases the highest counts."""
    stratified = [STRATA[task] for task in tasks if task in STRATA]
    found: dict[str, int] = {}
    for case in cases:
        stratum = stratified[-1](case.labels) if stratified else UNKNOWN
        found[case.patient] = max(found.get(case.patient, UNKNOWN), stratum)
    return found


def _by_quantile(ranked: Sequence[str], strata: Mapping[str, int]) -> list[str]:
    """Patients by their quantile within their stratum; those at the same one as they were ranked."""
    members: dict[int, list[str]] = defaultdict(list)
    for patient in ranked:
        members[strata.get(patient, UNKNOWN)].append(patient)
    quantile = {
        patient: Fraction(2 * place + 1, 2 * len(stratum))
        for stratum in members.values()
        for place, patient in enumerate(stratum)
    }
    return sorted(ranked, key=quantile.__getitem__)


def part_sizes(patients: int, split: Split) -> dict[Part, int]:
    """How many of so many patients each part gets; of folds, in the fold that tests the fewest."""
    if split.folds is None:
        tests, validations = _sizes(patients, split.validation, split.test)
    else:
        tests = patients // split.folds
        validations = _clamp(
            _half_up(patients, split.validation), patients - tests - 1, wanted=split.validation > 0 and patients > 1
        )
    return {"train": patients - tests - validations, "validation": validations, "test": tests}


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


def _half_up_share(count: int, folds: int) -> int:
    """`count / folds`, rounded half up in whole numbers."""
    return (2 * count + folds) // (2 * folds)


def _rank(seed: int, patient: str) -> tuple[str, str]:
    return hashlib.sha256(f"{seed}|{patient}".encode()).hexdigest(), patient
