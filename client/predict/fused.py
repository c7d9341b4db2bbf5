"""From a scan to its fused image: prepared as in training, fused by windows, brought back to the grid of the CT."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from client.data.checks import Issue
from client.data.preprocessing import PreparedCase, prepare_volumes
from client.data.volume import Volume
from client.predict.contract import Answering, Scan
from client.predict.doubts import scan_doubts, setting_doubts
from client.predict.native_grid import move_to_scan
from client.predict.networks import NetworkFor
from client.tasks.fusion import fuse_volume
from fusion_models.contract import Fuser
from fusion_models.model_row import ModelRow
from protocol.errors import CaseError
from protocol.messages.settings import StudySettings
from protocol.modalities import ModalitySetting, parts_of, settings_within

Image = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FusedScan:
    """What was made of one scan.

    setting: what the network was shown. image: the fused values in [0, 1] on the grid of the CT. case: the sources on
    the study grid, of this spacing; fused_zyx: the fused values there.
    """

    scan: Scan
    setting: ModalitySetting
    answering: Answering
    image: Volume
    case: PreparedCase
    fused_zyx: Image
    spacing_zyx_mm: tuple[float, float, float]
    issues: tuple[Issue, ...] = ()


class ScanFuser:
    """Fuses scans, one after another.

    Args:
        settings: of the study whose bank it is.
        row: of its model.
        network_for: gives the network for a prepared scan.
        wanted: the setting to fuse under; the fullest one that scan and model allow where None.

    Raises:
        CaseError: the study's model makes no image.
    """

    def __init__(
        self, settings: StudySettings, row: ModelRow, network_for: NetworkFor, wanted: ModalitySetting | None = None
    ) -> None:
        if not row.is_for(Fuser):
            raise CaseError(
                f"study '{settings.study}' trains model '{settings.model.name}' for {sorted(row.tasks)}, expected a "
                'model for fusion; give the bank of a study with task = "fusion", or use `predict`'
            )
        self._settings, self._row, self._network_for, self._wanted = settings, row, network_for, wanted

    def fuse(self, scan: Scan) -> FusedScan:
        """The fused image of one scan.

        Raises:
            CaseError: the scan lacks what the model or the wanted setting needs, or an image shows nothing.
        """
        case = prepare_volumes(scan.case, scan.images, self._settings.preprocessing) if scan.images else None
        setting = self._setting_for(scan, case)
        case = cast("PreparedCase", case)
        check_sources(case, setting, self._settings)
        network = self._network_for(case)
        grid, how = self._settings.preprocessing, self._settings.prediction
        fused = fuse_volume(cast("Fuser", network.model), case, setting, grid.crop_zyx, how)
        support = network.facts.get("support", {})
        issues = (
            *scan.issues,
            *network.issues,
            *scan_doubts(scan, grid),
            *setting_doubts(scan.case, case.modalities, setting, self._row.settings, support),
        )
        base = scan.base
        values = np.clip(move_to_scan(fused, base, grid), 0, 1)
        image = Volume(values, base.spacing_zyx_mm, base.origin_xyz_mm, base.direction, "mask")
        return FusedScan(scan, setting, network, image, case, fused, grid.spacing_zyx_mm, issues)

    def _setting_for(self, scan: Scan, case: PreparedCase | None) -> ModalitySetting:
        able: Sequence[ModalitySetting] = () if case is None else settings_within(case.modalities)
        wanted = self._wanted
        found = [name for name in able if name in self._row.settings and wanted in {None, name}]
        if found:
            return found[-1]
        raise CaseError(
            f"case '{scan.case}' has {' and '.join(scan.images) or 'no image'}; model '{self._settings.model.name}' "
            f"fuses {sorted(self._row.settings)}"
            + (f", asked was '{wanted}'" if wanted else "")
            + "; give the missing images, or name another setting"
        )


def check_sources(case: PreparedCase, setting: ModalitySetting, settings: StudySettings) -> None:
    """Refuse a source that is the same everywhere once it is windowed: it says nothing, and something would be drawn.

    Raises:
        CaseError: one is.
    """
    windows = {
        "ct": (settings.preprocessing.ct_window_hu, "HU"),
        "pet": (settings.preprocessing.pet_window_suv, "SUV"),
    }
    for name in sorted(parts_of(setting)):
        image: Image = getattr(case, name)
        low, high = float(image.min()), float(image.max())
        if not 0 <= low <= high <= 1 or low == high:
            (bottom, top), unit = windows[name]
            found = f"{low:g} everywhere" if low == high else f"values from {low:g} to {high:g}"
            raise CaseError(
                f"case '{case.name}': its {name.upper()} is {found} in the window from {bottom:g} to {top:g} {unit}, "
                "expected an image with contrast in [0, 1]; look at the file, or leave it out with --modalities"
            )
