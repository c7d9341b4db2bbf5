"""What is printed of a conversion, of made outcomes."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from client.cli.convert_view import print_summary, summary_table
from client.convert.case_conversion import Outcome
from client.convert.conversion_run import Summary
from client.convert.planning import Plan
from client.data.checks import Issue
from client.data.conversion import Conversion, PetValues, Registration

WARNING = Issue("registration", "case-a", "case 'case-a': shifted by 31 mm", "warning")
NOTE = Issue("roi-united", "case-a", "case 'case-a': united", "note")
RECORD = Conversion(
    "dicom",
    "test",
    PetValues("lbm", "computed", "BQML"),
    Registration(31.0, 0.8, 0.5),
    "seg",
    ("[GTV]",),
    (WARNING, NOTE),
)
CONVERTED = Outcome("case-a", "converted", RECORD, (), ("ct.nii.gz", "gtv.nii.gz", "pet.nii.gz"), peak_mib=250)
FAILED = Outcome("case-b", "failed", Conversion("dicom", "test"), (), lacking=("ct", "pet"))


def test_a_row_says_what_a_case_has_and_lacks() -> None:
    console = Console(file=StringIO(), width=200, markup=False)
    console.print(summary_table([CONVERTED, FAILED]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "ct+pet" in text
    assert "SUVlbm, computed from BQML" in text
    assert "seg: [GTV]" in text
    assert "31 mm" in text
    assert "1 warning, 1 note" in text
    assert "- (no ct, no pet)" in text


def test_findings_are_written_by_kind_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(Summary((CONVERTED,), (), stopped=True), Plan((), {}), Path("d"), Path("p"), as_json=False)
    out, _ = capsys.readouterr()
    lines = out.splitlines()
    first = lines.index("warning registration: 1")
    assert lines[first + 1 : first + 4] == [
        "  case 'case-a': shifted by 31 mm",
        "note roi-united: 1",
        "  case 'case-a': united",
    ]
    assert "0 errors, 1 warning, 1 note" in lines
    assert "the same command goes on from there" in out


def test_findings_about_the_source_name_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    issue = Issue("twice", "", "study 1.2.840.10008.1.2.3 is there twice", "warning", source="/archive")
    print_summary(Summary((), (issue,)), Plan((), {}, (issue,)), Path("d"), Path("p"), as_json=True)
    out, _ = capsys.readouterr()
    assert "1.2.840" not in out
    assert "/archive" not in out
    assert '"code": "twice"' in out
