"""The cases of a stage stay those that were registered, also for a trainer that starts anew."""

from pathlib import Path

import pytest

from client.data.checks import Subject
from client.data.manifest import Case, Manifest
from client.service.stage_cases import FILE, StageCases

NAN = Subject("a", "two", Path("data/two")).issue("not-finite", "ct", "NaN", "numbers", "export it anew")


def manifest(*names: str, refused: tuple[str, ...] = ()) -> Manifest:
    issues = dict.fromkeys(refused, (NAN,))
    return Manifest("a", tuple(Case(n, n, "data", {}, {}, {}, issues.get(n, ())) for n in sorted({*names, *refused})))


def names(found: Manifest) -> list[str]:
    return [case.name for case in found.usable]


def test_a_case_that_came_since_waits_also_after_a_restart(tmp_path: Path) -> None:
    StageCases(tmp_path).fix("s", manifest("one", "two"))
    later = manifest("one", "three", "two")
    assert names(StageCases(tmp_path).within("s", later)) == ["one", "two"]
    again = StageCases(tmp_path)
    again.fix("s", later)
    assert names(again.within("s", later)) == ["one", "three", "two"]


def test_another_study_and_a_center_that_never_registered_have_all(tmp_path: Path) -> None:
    cases = StageCases(tmp_path)
    assert names(cases.within("s", manifest("one"))) == ["one"]
    cases.fix("s", manifest("one"))
    assert names(cases.within("other", manifest("one", "two"))) == ["one", "two"]
    assert cases.count_missing("other", manifest()) == 0


def test_what_is_gone_or_unreadable_is_counted_and_named_here_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cases = StageCases(tmp_path)
    cases.fix("s", manifest("one", "three", "two"))
    found = manifest("three", refused=("two",))
    assert [cases.count_missing("s", found) for _ in range(2)] == [2, 2]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "case 'one' takes part in nothing" in told[0]
    assert "it is not in the data folders any more" in told[0]
    assert "case 'two'" in told[1]
    assert "NaN" in told[1]
    assert cases.count_missing("s", manifest("one", "three", "two")) == 0


def test_a_damaged_file_says_nothing_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    StageCases(tmp_path).fix("s", manifest("one"))
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes().replace(b"one", b"two"))
    assert names(StageCases(tmp_path).within("s", manifest("one", "two"))) == ["one", "two"]
    assert "until the next stage all cases at hand take part" in caplog.text
