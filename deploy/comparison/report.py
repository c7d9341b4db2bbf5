"""A benchmark's results as two pages: Markdown tables for documentation, and one self-contained HTML document.

Neither has a patient in it.
"""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from deploy.comparison.declared_rows import (
    DECLARED_HEADER,
    SERVICE_HEADER,
    declared_rows,
    declared_sentences,
    metric_of,
    service_rows,
    service_sentences,
)
from deploy.comparison.plots import figures
from deploy.comparison.rows import (
    ARM_HEADER,
    CONTRAST_HEADER,
    arm_rows,
    center_rows,
    contrast_rows,
    decision_sentence,
    missing_rows,
    opening_sentences,
)
from reporting.formats import UNDEFINED, label
from reporting.pages import open_templates
from server.results.charts import as_svg

Table = Mapping[str, Any]


def markdown_text(table: Table) -> str:
    """The tables of `benchmark.json` as a page of Markdown."""
    environment = Environment(
        loader=PackageLoader("deploy.comparison"),
        autoescape=False,  # noqa: S701  Markdown, not HTML
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(label=label)
    return environment.get_template("benchmark.md").render(_content(table))


def report_html(table: Table) -> str:
    """The tables and drawings as one HTML document."""
    environment = open_templates("deploy.comparison")
    environment.filters.update(first_columns=lambda row: row[:8], last_columns=lambda row: row[:2] + row[8:])
    return environment.get_template("benchmark.html").render(
        _content(table),
        undefined=UNDEFINED,
        complete=sum(run["status"] == "complete" for run in table["runs"]),
        drawings={name: as_svg(figure, name) for name, figure in figures(table).items()},
    )


def _content(table: Table) -> dict[str, Any]:
    """What both pages show."""
    settings = table["settings"]
    return {
        "table": table,
        "metric": metric_of(table),
        "sentences": opening_sentences(table),
        "declared_header": DECLARED_HEADER,
        "declared": declared_rows(table),
        "declared_sentence": declared_sentences(table)[0],
        "service_header": SERVICE_HEADER,
        "service": {setting: service_rows(table, setting) for setting in settings},
        "service_sentences": {setting: service_sentences(table, setting) for setting in settings},
        "arm_header": ARM_HEADER,
        "arms": {setting: arm_rows(table, setting) for setting in settings},
        "contrast_header": CONTRAST_HEADER,
        "contrasts": {setting: contrast_rows(table, setting) for setting in settings},
        "center_header": ("arm", *table["centers"]),
        "centers": {setting: center_rows(table, setting) for setting in settings},
        "decisions": {setting: decision_sentence(table, setting) for setting in settings},
        "missing": missing_rows(table),
    }
