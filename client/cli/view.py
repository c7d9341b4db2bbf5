"""`concilium-center view`: look through the cases of a folder in the browser of this machine."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from client.cli.progress_bars import show_cases
from client.data.manifest import raise_if_unusable
from client.data.scan import scan_center
from protocol.modalities import IMAGES


def view(
    data: Annotated[Path, typer.Option(help="Folder with one folder per case (ct, pet, gtv .nii.gz).")],
    prediction: Annotated[
        Path | None, typer.Option(help="Folder with <case>/prediction.nii.gz, shown beside the case's own contour.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")] = 0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the browser too.")] = False,
) -> None:
    """Show each case in three planes, with window, fusion, contours and prediction, until Ctrl-C.

    Listens on this machine only. The address it prints opens one session in one browser and then is spent; the page
    loads nothing from elsewhere. Exits with 1 when there is nothing to show or the port is taken.
    """
    from client.viewing.view_pages import build_pages
    from client.viewing.viewed_cases import view_cases
    from reporting.serving.admission import Admission
    from reporting.serving.server import LOOPBACK, bind, opened_browser, serve

    with bind(port) as bound:
        name = data.resolve().name
        with show_cases() as progress:
            manifest = scan_center(name, [data], IMAGES, progress=progress)
        if not manifest.cases:
            raise_if_unusable(manifest)
        cases, admission = view_cases(manifest.cases, prediction), Admission()
        address = f"http://{LOOPBACK}:{bound.getsockname()[1]}/open?token={admission.token}"
        typer.echo(f"{len(cases)} case(s); open this address once, in a browser on this machine:\n{address}")
        typer.echo("Ctrl-C ends the viewer.", err=True)
        with opened_browser(address) if open_browser else nullcontext():
            serve(build_pages(cases, admission, name), bound)
