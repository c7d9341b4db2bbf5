"""A center's own report: its cases, its scores and its pictures as one self-contained HTML page that stays there."""

from pathlib import Path

from client.data.manifest import Manifest
from client.data.manifest_file import read_manifest
from client.data.synthetic import PREFIX
from client.data.volume import Grid
from client.report.sections import page_sections
from client.report.task_rows import read_rows
from protocol.storage.atomic_files import write_private
from reporting.pages import open_templates


def write_center_report(home: Path, path: Path, *, center: str, formed_by: str = "") -> None:
    """Write the center's own report.

    Args:
        home: where the trainer keeps manifest.json, scores.json, cohorts.json and predictions/.
        path: the HTML file, for its owner alone; replaced whole or left as it was.
        center: the center's name; "" for the one that the manifest was made under.
        formed_by: how the centers were formed, in words; printed with the scores when given.

    Raises:
        CaseError: there is no readable manifest, or scores.json or cohorts.json is broken.
        StorageError: the file cannot be written.
    """
    manifest = read_manifest(home / "manifest.json")
    html = center_html(home, manifest, center or manifest.center, formed_by)
    write_private(path, html.encode())


def center_html(home: Path, manifest: Manifest, center: str, formed_by: str) -> str:
    """The page of one center: what each task says of its test cases, then all cases."""
    rows = read_rows(home / "scores.json")
    stages = list(dict.fromkeys(row.stage for of_task in rows.values() for row in of_task))
    environment = open_templates("client.report")
    environment.filters["grid"] = grid_text
    return environment.get_template("center_report.html").render(
        center=center,
        formed_by=formed_by,
        synthetic=sum(case.name.startswith(PREFIX) for case in manifest.cases),
        manifest=manifest,
        stages=stages,
        tested={row.case for of_task in rows.values() for row in of_task if row.stage == stages[-1]},
        sections=page_sections(home, manifest, rows, stages),
    )


def grid_text(grid: Grid) -> str:
    """Voxels and spacing of a grid along z, y, x."""
    voxels = " × ".join(str(count) for count in grid.shape_zyx)
    return f"{voxels} voxels of {' × '.join(f'{step:.2f}' for step in grid.spacing_zyx_mm)} mm"
