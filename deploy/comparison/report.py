"""The benchmark's report: one self-contained HTML page in the style of the coordinator's, with no patient in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from deploy.comparison import markdown
from deploy.comparison.plots import figures, svg
from protocol.storage.atomic_files import write_text
from server.results.report import UNDEFINED, label, score

Table = Mapping[str, Any]


def write_report(table: Table, path: Path) -> None:
    """Write the report of a benchmark.

    Args:
        table: the content of `benchmark.json`.
        path: the HTML file; replaced whole or left as it was.

    Raises:
        StorageError: the file cannot be written.
    """
    write_text(path, report_html(table))


def report_html(table: Table) -> str:
    """The report as one HTML document."""
    loader = ChoiceLoader([PackageLoader("deploy.comparison"), PackageLoader("server.results")])
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.filters.update(
        score=score, label=label, first_columns=lambda row: row[:8], last_columns=lambda row: row[:2] + row[8:]
    )
    return environment.get_template("benchmark.html").render(
        table=table,
        undefined=UNDEFINED,
        complete=sum(run["status"] == "complete" for run in table["runs"]),
        drawings={name: svg(figure, name) for name, figure in figures(table).items()},
        arms={setting: markdown.arm_rows(table, setting) for setting in table["settings"]},
        arm_header=markdown.arm_header(),
        contrasts={setting: markdown.contrast_rows(table, setting) for setting in table["settings"]},
        contrast_header=markdown.contrast_header(),
        centers={setting: markdown.center_rows(table, setting) for setting in table["settings"]},
        center_header=markdown.center_header(table),
        decisions={setting: markdown.decision_sentence(table, setting) for setting in table["settings"]},
        said=[sentence.replace("**", "") for sentence in markdown.said(table)],
        missing=markdown.missing_rows(table),
    )
