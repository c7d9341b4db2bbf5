"""`concilium-center preview`: the cases of a folder at a glance, as one page that stays at the center."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from client.cli.finding_view import all_counts, count_grades
from client.cli.interruption import exit_on_signals
from client.data.scan import scan_center
from protocol.modalities import IMAGES
from reporting import formats

PAGE = "preview.html"


def preview(
    data: Annotated[Path, typer.Option(help="Folder with one folder per case (ct, pet, gtv .nii.gz).")],
    out: Annotated[
        Path | None, typer.Option(help="The page, readable by you alone; DATA/preview.html by default.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Cases that are drawn at a time; one a core by default.")
    ] = None,
) -> None:
    """Draw every case, its figures and its issues on one page for the browser; it shows patients and stays here.

    The page needs no network and no other file. Exits with 0 also where cases have issues: `check` judges them.
    """
    from client.viewing.case_overviews import overviews
    from client.viewing.preview_page import write_preview

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with exit_on_signals(), Progress(*columns, console=Console(stderr=True)) as progress:
        reading = progress.add_task("reading cases", total=None)

        def tell(read: int, cases: int) -> None:
            progress.update(reading, completed=read, total=cases)

        manifest = scan_center(data.resolve().name, [data], IMAGES, progress=tell)
        count = len(manifest.cases)
        drawn = overviews(manifest.cases, workers or os.cpu_count() or 1)
        shown = dict(progress.track(drawn, total=count, description="drawing cases"))
    path = out or data / PAGE
    size = write_preview(manifest, [shown[place] for place in range(count)], path)
    findings = all_counts(count_grades(issue.grade for issue in manifest.all_issues))
    typer.echo(f"{path}: {count} case(s); {findings}; {formats.size(size)}")
