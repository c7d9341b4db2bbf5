"""What `check` found, in words and as one object; the command's tests are in test_check.py."""

import json
from dataclasses import replace

from client.cli.check_view import CheckResult, as_object, count_lines, estimate_lines
from client.data.census import count_cases, expect_folders
from client.data.checks import Issue
from client.data.manifest import Case, Manifest
from client.learning.round_cost import RoundCost
from protocol.messages.labels import Labels

COST = RoundCost("adapt", 40, 1.5, 10.0, 6, 1 << 30, 3)


def result(*issues: Issue) -> CheckResult:
    manifest = Manifest("x", (Case("a", "p", "f", {}, {}, {}),))
    census = count_cases(manifest, issues, {"a": "train"}, Labels(), expect_folders(manifest, ()))
    return CheckResult(manifest, issues, (), census, {"a": "train"})


def test_an_estimate_says_where_and_of_what_it_is() -> None:
    (line,) = estimate_lines([COST])
    assert line.startswith("stage 'adapt': about 2.0 min a round (40 steps of 1.50 s, 6 predictions of 10.00 s), ")
    assert line.endswith("1024 MiB of memory on this machine's CPU, as busy as it is now")


def test_an_estimate_counts_the_steps_of_the_adapter_trained_alone() -> None:
    (line,) = estimate_lines([replace(COST, alone_steps=40)])
    assert "about 3.0 min a round (40 steps and 40 of the adapter trained alone, of 1.50 s, 6 predictions" in line


def test_what_was_found_while_measuring_is_counted_too() -> None:
    found = result().with_estimates([COST], [Issue("stage", "", "no", "warning")])
    assert found.census.grades == {"error": 0, "warning": 1, "note": 0}
    shown = as_object(found, {})
    assert json.loads(json.dumps(shown))["estimates"][0]["minutes"] == 2.0
    assert [issue["code"] for issue in shown["issues"]] == ["stage"]


def test_a_source_never_enters_the_object() -> None:
    shown = as_object(result(Issue("slices", "a", "m", "note", source="/export/DOE^JOHN/1.dcm")), {})
    assert "DOE" not in json.dumps(shown)


def test_counts_stand_by_part() -> None:
    assert "train 1, validation 0, test 0" in count_lines(result())
