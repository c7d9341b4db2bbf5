"""The curve of what patients who train have spent, as a picture or as a page that holds it."""

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from client.privacy.spending import Spending
from client.privacy.unguaranteed import in_words
from protocol.errors import ConciliumError
from protocol.storage.atomic_files import write_private

SIZE_INCHES, DOTS_PER_INCH = (6.4, 3.6), 120
FORMATS = {".png": "png", ".html": "svg"}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Privacy spent</title></head>
<body><h1>Privacy spent</h1><p>{text}</p>
{drawing}
</body></html>
"""


class PictureError(ConciliumError):
    """A picture that cannot be drawn as asked."""

    code = "ledger"


def write_picture(path: Path, spending: Spending) -> None:
    """Draw epsilon over releases: a PNG, or a page with the same as SVG.

    Raises:
        PictureError: the file's name ends with neither.
        StorageError: the disk refuses.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise PictureError(f"{path} ends with neither of {sorted(FORMATS)}; name a picture or a page so")
    first = spending.spent[0]
    drawn = _draw(spending.curve, first.promised, first.delta, kind)
    if kind == "svg":
        drawn = PAGE.format(text=_words(spending), drawing=drawn.decode()[drawn.decode().index("<svg") :]).encode()
    write_private(path, drawn)


def _draw(curve: Sequence[tuple[int, float]], promised: float | None, delta: float, kind: str) -> bytes:
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    bounded = [(count, epsilon) for count, epsilon in curve if epsilon < float("inf")]
    axes.plot([0, *(count for count, _ in bounded)], [0, *(epsilon for _, epsilon in bounded)], marker="o")
    if promised is not None:
        axes.axhline(promised, linestyle="--", color="#B2182B", label="promised")
        axes.legend(loc="lower right")
    axes.set(xlabel="releases", ylabel=f"epsilon at delta {delta:g}", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    held = io.BytesIO()
    figure.savefig(held, format=kind, dpi=DOTS_PER_INCH, metadata={"Date": None} if kind == "svg" else None)
    return held.getvalue()


def _words(spending: Spending) -> str:
    first = spending.spent[0]
    promised = "" if first.promised is None else f" of {first.promised:.3g} promised"
    bare = f" Left without a guarantee: {in_words(spending.without_guarantee)}." if spending.without_guarantee else ""
    return f"Epsilon {first.epsilon:.3g}{promised} is spent at delta {first.delta:g}.{bare}"
