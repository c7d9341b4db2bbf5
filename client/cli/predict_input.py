"""What `predict` is pointed at, of five ways to name scans, and what answers for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from client.cli.predict_pacs import fetch_studies
from client.cli.progress_bars import show_cases
from client.convert.contract import Choices
from client.convert.identities import Origin, default_private, open_private, read_private
from client.data.conversion import Layout
from protocol.errors import CaseError
from protocol.modalities import IMAGES, ModalitySetting, parts_of, settings_within

if TYPE_CHECKING:
    from client.predict.contract import FoundScan
    from client.predict.predicting import Predictor
    from client.scores.calibration_rows import CalibrationRow
    from strategies.bank.bank import AdapterBank

ROUTED = "routed"
PULLED = "pulled"
"""Within the private folder: the studies that were fetched from a PACS."""


@dataclass(frozen=True)
class Where:
    """Where the scans are: a source, a data folder, files of CT and PET (one may be missing), or a PACS."""

    source: Path | None = None
    data: Path | None = None
    ct: Path | None = None
    pet: Path | None = None
    study_uids: tuple[str, ...] = ()
    server: Path | None = None

    def default_private(self, out: Path) -> Path:
        """The private folder where the user names none: that of the conversion of the data folder, else of OUT."""
        return default_private(self.data or out)

    def check(self, *, store: bool) -> None:
        """Refuse none or several of them, and a PACS that is needed and not named.

        Raises:
            typer.BadParameter: what is wrong.
        """
        places = {
            "--source": self.source,
            "--data": self.data,
            "--ct/--pet": self.ct or self.pet,
            "--study-uid": self.study_uids,
        }
        given = [name for name, value in places.items() if value]
        if len(given) != 1:
            found = " and ".join(given) or "no scan"
            raise typer.BadParameter(f"found {found}, expected one of --source, --data, --ct/--pet and --study-uid")
        if (self.study_uids or store) and self.server is None:
            raise typer.BadParameter("--study-uid and --store need --server, the file that names the PACS")


def open_predictor(
    bank: "AdapterBank",
    adapter: str,
    version: int | None,
    wanted: ModalitySetting | None,
    calibration: Path | None = None,
    *,
    device: str,
) -> "Predictor":
    """The predictor of an adapter of the bank, or of the one that its router chooses for each scan.

    Raises:
        CaseError: the calibration is missing or damaged.
        BankError: the bank lacks the adapter, the version or a router, or is damaged.
    """
    from client.learning.assembly import row_of
    from client.predict.networks import one_adapter, routed_adapters
    from client.predict.predicting import Predictor

    row, known = row_of(bank.settings), None if calibration is None else _read_calibration(calibration)
    if adapter != ROUTED:
        return Predictor(bank.settings, row, one_adapter(bank, row, adapter, version, device=device), wanted, known)
    if version is not None:
        raise typer.BadParameter("--version is of one adapter; the router takes the versions in use")
    return Predictor(bank.settings, row, routed_adapters(bank, row, device=device), wanted, known)


def _read_calibration(path: Path) -> "tuple[CalibrationRow, ...]":
    from client.scores.calibration_rows import read_calibration

    if not path.is_file():
        raise CaseError(f"calibration {path} is not there; give the calibration.json of a center's trainer")
    return read_calibration(path)


def find_scans(
    where: Where,
    bank: "AdapterBank",
    private: Path,
    layout: Layout | None,
    choices: Choices,
    wanted: ModalitySetting | None,
) -> list["FoundScan"]:
    """The scans, in a fixed order, none read yet; what was found and is no scan is told.

    Raises:
        CaseError: there is none.
    """
    from client.predict.scans import scan_of_files, scans_of_cases
    from client.scores.bank_evaluation import scan_folder

    if where.study_uids and where.server is not None:
        pulled = open_private(private).path / PULLED
        fetch_studies(where.server, where.study_uids, pulled)
        return _studies([pulled / uid for uid in where.study_uids], private, "dicom", choices, wanted)
    if where.source is not None:
        return _studies([where.source], private, layout, choices, wanted)
    if where.data is None:
        return [scan_of_files(where.ct, where.pet, wanted)]
    # Both images whatever the network is shown: the mask lies on the CT's grid, and its figures are the PET's.
    read = None if wanted is None else settings_within({*IMAGES, *parts_of(wanted)})[-1]
    with show_cases() as progress:
        manifest = scan_folder(where.data, read, bank.settings.labels, progress=progress)
    for issue in manifest.all_issues:
        typer.echo(issue.message, err=True)
    return list(scans_of_cases(manifest.usable, _named(private)))


def _named(private: Path) -> Mapping[str, Origin]:
    """Whom the ids of cases stand for; where that is not known, that no DICOM objects can be made is told."""
    try:
        return read_private(private).read_origins()
    except (CaseError, OSError) as error:
        typer.echo(f"NIfTI and JSON alone are written, which `corrections` cannot take back: {error}", err=True)
        return {}


def _studies(
    sources: Sequence[Path], private: Path, layout: Layout | None, choices: Choices, wanted: ModalitySetting | None
) -> list["FoundScan"]:
    from client.convert.layouts import recognize_layout
    from client.convert.planning import find_cases
    from client.predict.scans import scans_of_studies

    folder = open_private(private)
    scans: dict[str, FoundScan] = {}
    for source in sources:
        found = find_cases(source, layout or recognize_layout(source)[0], choices, folder, lambda _seen: None)
        for issue in found.issues:
            typer.echo(issue.message, err=True)
        scans |= {scan.case: scan for scan in scans_of_studies(found.cases, folder, wanted, found.issues)}
    if not scans:
        places = ", ".join(map(str, sources))
        raise CaseError(f"source {places} has no study with a CT or a PET; see the messages above, or correct the path")
    return [scans[case] for case in sorted(scans)]
