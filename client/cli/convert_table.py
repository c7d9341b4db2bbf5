"""The options of `convert` that bring the hospital's table along: which file, which key, which columns."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from client.data.checks import Issue
from client.data.labels import columns_of

if TYPE_CHECKING:
    from client.convert.identities import PrivateFolder
    from client.convert.label_table import LabelSource


def label_source_of(
    table: Path | None, key: str | None, columns: str | None, study: Path | None
) -> "LabelSource | None":
    """What the options say of the table, checked before anything is converted; None where there is none.

    Raises:
        typer.BadParameter: some of the options without the others they need.
        CaseError: the table cannot be read, lacks a column, or would name patients.
        StudyError: the study file cannot be read.
    """
    if table is None:
        if key or columns or study:
            raise typer.BadParameter("--key, --columns and --study say something of --table, which is not given")
        return None
    if not key or bool(columns) == bool(study):
        raise typer.BadParameter("--table needs --key, and either --study or --columns")
    from client.convert.label_table import LabelSource, check_label_source

    if columns:
        named = tuple(name.strip() for name in columns.split(",") if name.strip())
        source = LabelSource(table, key, named)
    else:
        source = _of_study(table, key, study or Path())
    check_label_source(source)
    return source


def add_labels(labels: "LabelSource", dest: Path, private: "PrivateFolder") -> tuple[Issue, ...]:
    """Write the table beside the cases, and what was found to the private folder.

    Raises:
        CaseError: the folder has a table with other columns.
        StorageError: the disk is full or refuses.
    """
    from client.convert.label_table import write_label_table

    issues = write_label_table(dest, labels, private.read_origins(), private)
    private.write_issues([*private.read_issues(), *issues])
    return issues


def _of_study(table: Path, key: str, study: Path) -> "LabelSource":
    """The columns that a study's [labels] name, under the name that it looks for."""
    from client.cli.study_part import read_study_part
    from client.convert.label_table import LabelSource

    schema = read_study_part(study).labels
    named = tuple(columns_of(schema, ehr=True))
    if not named:
        raise typer.BadParameter(f"{study} has no [labels]; name the columns with --columns", param_hint="--study")
    return LabelSource(table, key, named, schema.file) if schema.file else LabelSource(table, key, named)
