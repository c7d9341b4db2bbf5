"""The options by which commands that read scans are told what to read, and by which adapter."""

from pathlib import Path
from typing import Annotated

import typer

from client.data.conversion import Layout, SuvKind
from protocol.modalities import ModalitySetting

OutArgument = Annotated[Path, typer.Argument(help="Folder that gets one folder a case. Private: it holds identities.")]
VersionOption = Annotated[int | None, typer.Option(min=1, help="A version; the one in use where none is given.")]
SourceOption = Annotated[
    Path | None, typer.Option(help="DICOM of one or many studies, or a published layout, as `convert` reads them.")
]
DataOption = Annotated[Path | None, typer.Option(help="Folder with one folder per case, as `convert` makes it.")]
CtOption = Annotated[Path | None, typer.Option(help="One CT as NIfTI, in HU.")]
PetOption = Annotated[Path | None, typer.Option(help="One PET as NIfTI, in SUV by body weight.")]
ModalitiesOption = Annotated[
    ModalitySetting | None, typer.Option(help="What the network is shown; all that a scan has if left out.")
]
LayoutOption = Annotated[Layout | None, typer.Option(help="Layout of the source; told by what is there.")]
SuvOption = Annotated[SuvKind, typer.Option(help="SUV by body weight, lean body mass or body surface area.")]
PetIsSuvOption = Annotated[bool, typer.Option("--pet-is-suv", help="Values of PET files are SUV of that kind already.")]
PrivateOption = Annotated[
    Path | None,
    typer.Option(
        help="Private folder of a conversion: ids of studies, DICOM of cases. OUT.private; of --data DATA.private."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DeviceOption = Annotated[str, typer.Option(help='"cpu" or "cuda".')]
