"""An edition of the DICOM standard for `dicom-validator`, made of the tables in the package dicom-standard.

dicom-validator reads the standard's own documents, which it fetches from the internet. The package has the tables of
part 3 as of spring 2020 in files; here they get the form that the validator has them in, and its own parser reads their
conditions. Two things differ from the documents: the tables put what belongs to an RT ROI Observation below another
sequence, which is put right, and they do not say which value of a content item of a report needs which attribute, so
that the content of reports is left to dcmtk and dciodvfy.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dicom_validator.spec_reader.condition import ConditionType
from dicom_validator.spec_reader.condition_parser import ConditionParser
from dicom_validator.validator.dicom_file_validator import DicomFileValidator
from dicom_validator.validator.dicom_info import DicomInfo

TABLES = Path(sys.prefix) / "standard"
SOP_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.481.3",
    "1.2.840.10008.5.1.4.1.1.88.34",
)
CONTENT_OF_REPORTS = "sr-document-content"
MISPLACED, ITS_PLACE = re.compile(r"^rt-roi-observations:00082228:(?=30[0-9a-f]{6})"), "rt-roi-observations:30060080:"
FUNCTIONAL_GROUPS = ("(5200,9229)", "(5200,9230)")
Rows = Iterable[Mapping[str, Any]]


def find_errors(path: Path) -> list[str]:
    """What dicom-validator finds wrong with a SEG, RTSTRUCT or Comprehensive 3D SR: module, tag, code."""
    (result,) = DicomFileValidator(edition(), error_handler=Silent()).validate(path).values()
    found = [
        f"{module}: {tag}: {error.code}"
        for module, errors in result.module_errors.items()
        for tag, error in errors.items()
    ]
    return found if found or not result.errors else [str(result.status)]


class Silent:
    """Prints nothing."""

    def handle_validation_start(self, result: object) -> None:
        """Nothing to do."""

    def handle_validation_result(self, result: object) -> None:
        """Nothing to do."""


@cache
def edition() -> DicomInfo:
    """The tables of the three classes of objects."""
    dictionary = {row["tag"]: {"name": row["name"], "vr": row["valueRepresentation"]} for row in _rows("attributes")}
    parser = ConditionParser(dictionary)
    titles = {row["id"]: row["name"] for name in ("modules", "macros") for row in _rows(name)}
    names = {row["name"]: row["id"] for row in _rows("ciods")}
    iods = {}
    for row in _rows("sops"):
        if row["id"] in SOP_CLASSES:
            iod = names[row["ciod"]]
            modules = _uses(_rows("ciod_to_modules"), "moduleId", iod, titles, parser)
            macros = _uses(_rows("ciod_to_fg_macros"), "macroId", iod, titles, parser)
            iods[row["id"]] = {"title": iod, "modules": modules, "group_macros": macros}
    wanted = {use["ref"] for iod in iods.values() for kind in ("modules", "group_macros") for use in iod[kind].values()}
    attributes: dict[str, Any] = {reference: {} for reference in wanted}
    attributes |= _trees(_rows("module_to_attributes"), "moduleId", wanted, parser)
    attributes |= _trees(_rows("macro_to_attributes"), "macroId", wanted, parser)
    attributes[CONTENT_OF_REPORTS] = {tag: {"name": tag, "type": "3"} for tag in attributes[CONTENT_OF_REPORTS]}
    for tag in FUNCTIONAL_GROUPS:
        attributes["multi-frame-functional-groups"][tag]["items"] = {"include": [{"ref": "FuncGroup"}]}
    return DicomInfo(dictionary, iods, attributes)


def _rows(name: str) -> Rows:
    rows: Rows = json.loads((TABLES / f"{name}.json").read_bytes())
    return rows


def _uses(rows: Rows, key: str, iod: str, titles: Mapping[str, str], parser: ConditionParser) -> dict[str, Any]:
    """The modules of an object by title: where they are described, and whether they must be there."""
    found = {}
    for row in rows:
        if row["ciodId"] == iod:
            use = {"ref": row[key], "use": row["usage"]}
            if row["usage"] == "C":
                use["cond"] = parser.parse(f"C - {_words(row['conditionalStatement'])}").result_dict()
            found[titles[row[key]]] = use
    return found


def _trees(rows: Rows, key: str, wanted: set[str], parser: ConditionParser) -> dict[str, Any]:
    """Module -> its attributes by tag, those of a sequence's items below it."""
    found: dict[str, Any] = {}
    for row in rows:
        if row[key] in wanted:
            here = found.setdefault(row[key], {})
            *above, last = MISPLACED.sub(ITS_PLACE, row["path"]).split(":")[1:]
            for tag in above:
                here = here[_tag(tag)].setdefault("items", {})
            here[_tag(last)] = _attribute(row, parser)
    return found


def _attribute(row: Mapping[str, Any], parser: ConditionParser) -> dict[str, Any]:
    kind = row["type"] if row["type"] in {"1", "1C", "2", "2C", "3"} else "3"
    found = {"name": row["tag"], "type": kind}
    if kind in {"1C", "2C"}:
        condition = parser.parse(_words(row["description"]))
        if condition.type != ConditionType.UserDefined:
            found["cond"] = condition.result_dict()
    return found


def _tag(digits: str) -> str:
    return f"({digits[:4]},{digits[4:]})".upper()


def _words(html: str | None) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html or "").split())
