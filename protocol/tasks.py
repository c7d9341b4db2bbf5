"""What a network may be asked for, and by which figures its answers are judged: one row a task.

A metric of a case is averaged over cases. A metric of a cohort (concordance, AUC) belongs to all of its cases at once,
so it is never a mean over cases, and comparing two networks by it takes the same cases of both. A count says what
stands behind another metric. Per endpoint, a metric is named `metric/endpoint`; its plain name then stands for all
endpoints together.

The primary metric of a task lies in [0, 1] and higher is better: matrix, gate and comparison work on it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from protocol.names import ENDPOINT

TaskName = Literal["segmentation", "classification", "survival", "fusion"]
Of = Literal["case", "cohort", "count"]
Better = Literal["higher", "lower", ""]
FEWEST_OF_A_COHORT = 5
FEWEST_OF_AN_OUTCOME = 2
MAXIMUM_ENDPOINTS = 32
"""Of a study; the bounds of a message follow from it. Eleven are the most that anybody described so far."""
LONGEST_DISTANCE_MM = 10_000.0
"""Ten metres: no scan is longer."""
LARGEST_PSNR_DB = 300.0
"""Of float32 images that differ in the last bit of one voxel in a billion: about 235 dB."""
LARGEST_COUNT = 1e12
"""Pairs of a million cases."""


@dataclass(frozen=True)
class Metric:
    """One figure of a score.

    label, unit, decimals: how it is shown. low, high: its bounds, included. better: which direction, "" for neither.
    of: what it is a figure of. minimum_cases: fewest cases it must stand on before it may leave a center, whatever the
    center's own rule; a figure over fewer patients would say too much of each. minimum_of_outcome: likewise the fewest
    cases of the rarer outcome (class, event), so that it is of no one patient; 0 where outcomes are not told apart.
    weight: the count that weighs centers where they are averaged, "" where they count alike. per_endpoint: whether it
    exists for each endpoint too. pairs: whether a count is of pairs of cases.
    """

    name: str
    label: str
    low: float = 0.0
    high: float = 1.0
    better: Better = "higher"
    unit: str = ""
    decimals: int = 3
    of: Of = "case"
    minimum_cases: int = 1
    minimum_of_outcome: int = 0
    weight: str = ""
    per_endpoint: bool = False
    pairs: bool = False

    def most_of(self, cases: int) -> int:
        """The largest count of one endpoint that so many cases can give."""
        return cases * (cases - 1) // 2 if self.pairs else cases

    @property
    def decimals_leaving(self) -> int:
        """Those with which a figure leaves a center: one more than it is shown with."""
        return self.decimals + 1


@dataclass(frozen=True)
class Task:
    """One task.

    target: what a case must have to train and be scored, in words. groups: tensor groups that a stage of the task
    trains beside those of its kind, unless the study file names its groups. undefined_as: an example of a figure that
    cannot be, in words.
    """

    metrics: tuple[Metric, ...]
    primary: str
    target: str
    undefined_as: str
    groups: tuple[str, ...] = ()

    @property
    def main(self) -> tuple[Metric, ...]:
        """What a line has room for: the primary metric and the one that the table names after it."""
        return self.metrics[:2]

    def metric(self, name: str) -> Metric:
        """The row of a metric, also by its name for one endpoint.

        Raises:
            KeyError: the task has no such metric.
        """
        base, slash, endpoint = name.partition("/")
        found = next((metric for metric in self.metrics if metric.name == base), None)
        if found is None or (slash and not (found.per_endpoint and ENDPOINT.fullmatch(endpoint))):
            raise KeyError(name)
        return found


def _cohort(name: str, label: str, **others: object) -> Metric:
    return Metric(name, label, of="cohort", minimum_cases=FEWEST_OF_A_COHORT, **others)  # type: ignore[arg-type]


def _outcome(name: str, label: str, **others: object) -> Metric:
    return _cohort(name, label, minimum_of_outcome=FEWEST_OF_AN_OUTCOME, **others)


def _count(name: str, label: str, *, pairs: bool = False) -> Metric:
    shown: dict[str, object] = {"pairs": pairs, "high": LARGEST_COUNT, "better": "", "decimals": 0, "of": "count"}
    return Metric(name, label, minimum_cases=FEWEST_OF_A_COHORT, per_endpoint=True, **shown)  # type: ignore[arg-type]


def _psnr(name: str, label: str, better: Better = "higher") -> Metric:
    return Metric(name, label, high=LARGEST_PSNR_DB, better=better, unit="dB", decimals=1)


def _entropy(name: str, label: str, bits: float) -> Metric:
    """Noise has the most of it, so neither direction is better."""
    return Metric(name, label, high=bits, better="", unit="bit", decimals=2)


TASKS: Mapping[TaskName, Task] = {
    "segmentation": Task(
        metrics=(
            Metric("dice", "Dice"),
            Metric("hd95_mm", "HD95", high=LONGEST_DISTANCE_MM, better="lower", unit="mm", decimals=1),
        ),
        primary="dice",
        target="a contour",
        undefined_as="a distance to an empty contour",
    ),
    "classification": Task(
        metrics=(
            _outcome("auc", "AUC"),
            _outcome("g_mean", "G-mean"),
            _cohort("accuracy", "accuracy"),
            _cohort("majority", "majority rate", better=""),
            _outcome("sensitivity", "sensitivity"),
            _outcome("specificity", "specificity"),
            _outcome("precision", "precision"),
            _outcome("f1", "F1"),
        ),
        primary="auc",
        target="a class",
        undefined_as="the AUC of cases of one class",
        groups=("ehr", "head"),
    ),
    "survival": Task(
        metrics=(
            _outcome("concordance", "concordance", weight="pairs", per_endpoint=True),
            _outcome("uno", "Uno's concordance", weight="pairs", per_endpoint=True),
            _outcome("brier", "integrated Brier score", better="lower", per_endpoint=True),
            _count("pairs", "comparable pairs", pairs=True),
            _count("events", "events"),
        ),
        primary="concordance",
        target="a time and whether the event came",
        undefined_as="a concordance without a comparable pair",
        groups=("ehr", "head"),
    ),
    "fusion": Task(
        metrics=(
            Metric("ssim", "SSIM"),
            _psnr("psnr", "PSNR"),
            Metric("ms_ssim", "MS-SSIM"),
            Metric("fsim", "FSIM"),
            Metric("fmi_pixel", "FMI (pixel)"),
            _entropy("entropy_values", "entropy of values", 32),
            _entropy("entropy_256", "entropy of 256 bins", 8),
            Metric("ssim_average", "SSIM of the average", better=""),
            Metric("ssim_maximum", "SSIM of the maximum", better=""),
            Metric("ssim_laplacian", "SSIM of the Laplacian pyramid", better=""),
            _psnr("psnr_average", "PSNR of the average", better=""),
            _psnr("psnr_maximum", "PSNR of the maximum", better=""),
            _psnr("psnr_laplacian", "PSNR of the Laplacian pyramid", better=""),
        ),
        primary="ssim",
        target="a CT",
        undefined_as="a similarity in windows larger than the image",
    ),
}


def metric_named(name: str) -> Metric:
    """The row of a metric of any task, also by its name for one endpoint.

    Raises:
        KeyError: no task has such a metric.
    """
    for task in TASKS.values():
        try:
            return task.metric(name)
        except KeyError:
            continue
    raise KeyError(name)


def metric_names(tasks: Iterable[TaskName], endpoints: Iterable[str] = ()) -> Iterator[str]:
    """Every name that a score of these tasks may hold, in the order of the table; `endpoints` are the study's."""
    known = tuple(endpoints)
    for task in tasks:
        for metric in TASKS[task].metrics:
            yield metric.name
            if metric.per_endpoint:
                yield from (f"{metric.name}/{endpoint}" for endpoint in known)
