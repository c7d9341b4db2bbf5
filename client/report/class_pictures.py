"""What a center's own page shows of classified cases: slices with the probabilities beside them, and the ROC curve.

Slices go through the brightest voxel of the PET, or the middle of a case without one, as the network sees them.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from client.report.prediction_file import read_arrays
from client.report.task_rows import CaseRow, TaskPicture, fullest_inputs
from protocol.errors import CaseError
from reporting import formats
from strategies.evaluation.classification_metrics import auc, roc_curve

Array = NDArray[Any]

FOLDER = Path("predictions") / "classification"
COLOURS = {"ct": "gray", "pet": "hot"}
BAR, TRUE_BAR = "#8a929c", "#0b4f7a"
DOTS_PER_INCH = 110


@dataclass(frozen=True, eq=False)
class ClassifiedCase:
    """One predicted case.

    images: ct and pet on the study grid (z, y, x), those that are there. own: index of its class, None where unknown.
    probability: of each class. values: what the classes are called. modalities: the input of the prediction.
    """

    name: str
    images: Mapping[str, Array]
    own: int | None
    probability: Array
    values: tuple[str, ...]
    spacing_zyx_mm: tuple[float, ...]
    modalities: str


def class_pictures(home: Path, rows: Sequence[CaseRow]) -> list[TaskPicture]:
    """The curve of each of the fullest inputs that `rows` scored last, then each of their cases by name."""
    scored = {row.case for row in rows}
    read = {path.stem: _try_to_read(path) for path in sorted((home / FOLDER).glob("*.npz")) if path.stem in scored}
    known = [case for case in read.values() if isinstance(case, ClassifiedCase) and case.own is not None]
    curves = (_curve([case for case in known if case.modalities == name]) for name in fullest_inputs(rows))
    shown = [case if isinstance(case, TaskPicture) else _picture(case) for case in read.values()]
    return [*chain.from_iterable(curves), *shown]


def read_case(path: Path) -> ClassifiedCase:
    """Read `predictions/classification/<case>.npz`.

    Raises:
        CaseError: the file is broken or lacks an array.
    """
    found = read_arrays(path)
    try:
        return ClassifiedCase(
            path.stem,
            {name: found[name] for name in COLOURS if name in found},
            int(found["class"]) if "class" in found else None,
            found["probability"],
            tuple(str(value) for value in found["values"]),
            tuple(float(step) for step in found["spacing_zyx_mm"]),
            str(found["modalities"]),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise CaseError(f"prediction {path} cannot be read ({error!r}); evaluate the case again") from error


def case_png(case: ClassifiedCase) -> bytes:
    """Axial and coronal slices of each image, and a bar for each class; the bar of the true class is dark."""
    figure = Figure(figsize=(3.0 + 3.2 * len(case.images), 3.4), layout="constrained", facecolor="white")
    panels = figure.subplots(1, 2 * len(case.images) + 1, squeeze=False)[0]
    for place, (name, image) in enumerate(case.images.items()):
        _draw_slices(panels[2 * place : 2 * place + 2], name, image, case)
    bars, own = panels[-1], range(len(case.values))
    bars.barh(own, case.probability, color=[TRUE_BAR if k == case.own else BAR for k in own])
    bars.set_yticks(own, case.values)
    bars.set(xlim=(0, 1), title="probability")
    bars.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def roc_png(truth: Array, probability: Array, values: Sequence[str]) -> bytes:
    """The curve of the second of two classes, or of each of more; empty where no class has cases of both kinds.

    Args:
        truth: class index of each case, (n,). probability: (n, classes). values: what the classes are called.
    """
    shown = [k for k in ((1,) if len(values) == 2 else range(len(values))) if 0 < (truth == k).sum() < truth.size]
    if not shown:
        return b""
    figure = Figure(figsize=(4.2, 4.0), layout="constrained", facecolor="white")
    panel = figure.subplots()
    for k in shown:
        positive = truth == k
        pair = np.column_stack([1 - probability[:, k], probability[:, k]])
        area = float(auc(positive.astype(np.int64), pair, np.ones((1, truth.size)))[0])
        counts = f"{int(positive.sum())} of {truth.size}"
        panel.plot(*roc_curve(positive, probability[:, k]), label=f"{values[k]} ({counts}): AUC {area:.2f}")
    panel.plot([0, 1], [0, 1], color=BAR, linestyle=":", linewidth=1)
    panel.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    panel.legend(loc="lower right", frameon=False, fontsize=8)
    return _png(figure)


def _try_to_read(path: Path) -> ClassifiedCase | TaskPicture:
    try:
        return read_case(path)
    except CaseError as error:
        return TaskPicture(path.stem, "", "", problem=str(error))


def _curve(cases: Sequence[ClassifiedCase]) -> list[TaskPicture]:
    """The ROC curve of cases of one input whose class is known; nothing where they define none."""
    if not cases:
        return []
    truth = np.array([case.own for case in cases])
    png = roc_png(truth, np.stack([case.probability for case in cases]), cases[0].values)
    shown = formats.label(cases[0].modalities)
    caption = f"{len(cases)} case(s) as they were predicted last from {shown}"
    return [TaskPicture(f"ROC curve, from {shown}", caption, base64.b64encode(png).decode())] if png else []


def _picture(case: ClassifiedCase) -> TaskPicture:
    own = "class unknown" if case.own is None else f"class {case.values[case.own]}"
    called = case.values[int(case.probability.argmax())]
    caption = f"From {formats.label(case.modalities)} · {own} · answer {called} ({case.probability.max():.2f})"
    return TaskPicture(case.name, caption, base64.b64encode(case_png(case)).decode())


def _draw_slices(panels: Sequence[Axes], name: str, image: Array, case: ClassifiedCase) -> None:
    pet = case.images.get("pet")
    middle = tuple(size // 2 for size in image.shape)
    z, y, _ = middle if pet is None else np.unravel_index(int(pet.argmax()), pet.shape)
    z_mm, y_mm, x_mm = case.spacing_zyx_mm
    cuts = (("axial", image[z], y_mm / x_mm, "upper"), ("coronal", image[:, y], z_mm / x_mm, "lower"))
    for panel, (plane, cut, aspect, origin) in zip(panels, cuts, strict=True):
        panel.imshow(cut, cmap=COLOURS[name], vmin=0, vmax=1, aspect=aspect, origin=origin)  # type: ignore[arg-type]  # one of two words
        panel.set(xticks=[], yticks=[], title=f"{formats.label(name)}, {plane}")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()
