"""The task of segmentation on small grids, and batches of it."""

from collections.abc import Mapping

from torch import Tensor

from client.tasks.contract import Batch, CaseScore
from client.tasks.segmentation import Segmentation
from protocol.messages.settings import Preprocessing


def segmentation(
    crop_zyx: tuple[int, int, int] = (16, 16, 16), spacing_zyx_mm: tuple[float, float, float] = (4, 4, 4)
) -> Segmentation:
    """The task with a crop and a spacing."""
    return Segmentation(Preprocessing(crop_zyx=crop_zyx, spacing_zyx_mm=spacing_zyx_mm))


def batch(setting: str = "ct", ct: Tensor | None = None, pet: Tensor | None = None, **targets: Tensor) -> Batch:
    """A batch of one case."""
    return Batch(("p",), setting, ct, pet, targets=targets)


def row(case: str, setting: str = "ct", dice: float | None = 0.5, hd95_mm: float | None = None) -> CaseScore:
    """The score of a case."""
    values: Mapping[str, float | None] = {"dice": dice, "hd95_mm": hd95_mm}
    return CaseScore(case, setting, values)
