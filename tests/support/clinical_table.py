"""A study's schema with one of everything, and rows that fit it."""

from pathlib import Path

from protocol.messages.labels import Category, Classes, Endpoint, Labels, Number, Survival

SCHEMA = Labels(
    classes=Classes(column="metastasis"),
    endpoints={
        "death": Endpoint(event="death_event", time="death_days", unit="days"),
        "distant": Endpoint(event="distant_event", time="distant_months", unit="months"),
    },
    covariates={
        "age": Number(column="age_years", unit="years", minimum=18, maximum=100, mean=60, standard_deviation=10),
        "hpv": Category(values=("0", "1")),
    },
    survival=Survival(edges_days=(365.0, 730.0)),
)
STUDY = """
name = "prognosis"
title = "a study file with that schema; what concerns the coordinator alone is left out"
[model]
name = "any"
[labels.classes]
column = "metastasis"
[labels.endpoints]
death = {event = "death_event", time = "death_days", unit = "days"}
distant = {event = "distant_event", time = "distant_months", unit = "months"}
[labels.covariates]
hpv = {kind = "category", values = ["0", "1"]}
[labels.covariates.age]
kind = "number"
column = "age_years"
unit = "years"
minimum = 18
maximum = 100
mean = 60
standard_deviation = 10
[labels.survival]
edges_days = [365.0, 730.0]
[centers.x]
modalities = ["ehr"]
rows = {center = "x"}
[[stages]]
task = "survival"
[[stages]]
task = "classification"
[[stages]]
task = "survival"
"""
SOUND = {
    "metastasis": "1",
    "death_event": "0",
    "death_days": "700",
    "distant_event": "1",
    "distant_months": "2",
    "age_years": "75",
    "hpv": "1",
}


def write_table(path: Path, cases: dict[str, dict[str, str]], key: str = "case") -> Path:
    """A table of sound rows, each with the given cells in place of its own."""
    columns = [key, *dict.fromkeys([*SOUND, *(column for cells in cases.values() for column in cells)])]
    rows = [{key: name.split("#", 1)[0], **SOUND, **cells} for name, cells in cases.items()]
    lines = [",".join(columns), *(",".join(row.get(column, "") for column in columns) for row in rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path
