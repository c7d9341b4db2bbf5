import json
import re
from pathlib import Path
from typing import Any

import pytest

from protocol.messages.audit import write_audit
from server.card.known_facts import read_facts
from server.card.model_card import build_card
from tests.support.carded_study import audit_of, carded_result, spent_by, write_carded


@pytest.fixture
def card(tmp_path: Path) -> dict[str, Any]:
    write_carded(tmp_path)
    return build_card(read_facts(tmp_path, "shared", None))


def test_the_card_is_json_and_says_what_it_is_for(card: dict[str, Any]) -> None:
    assert json.loads(json.dumps(card, allow_nan=False)) == card
    assert "Not a medical device" in card["notice"]
    assert card["version"]["reference"] == "shared/0002"


def test_of_an_earlier_version_later_stages_are_not_told(tmp_path: Path) -> None:
    write_carded(tmp_path)
    card = build_card(read_facts(tmp_path, "shared", 1))
    assert [stage["name"] for stage in card["training"]] == ["pretrain", "adapt"]
    assert {row["center"]: row["stages"] for row in card["data"]}["center-d"] == []


def test_a_group_that_no_round_stood_behind_is_named(tmp_path: Path) -> None:
    result = carded_result()
    for row in result["rounds"]:
        if row["center"] == "center-b":
            row["support"] = {group: cases for group, cases in row["support"].items() if group != "pet"}
    write_carded(tmp_path, result)
    data = {row["center"]: row for row in build_card(read_facts(tmp_path, "shared", None))["data"]}
    assert data["center-b"]["suppressed_groups"] == ["pet"]
    assert data["center-a"]["suppressed_groups"] == []
    assert data["center-b"]["rounds_missed"] == 1


def test_privacy_that_nobody_reported_is_not_zero(card: dict[str, Any]) -> None:
    assert card["privacy"]["reported"] == []
    assert card["privacy"]["asked"] is None
    assert "Not reported" in card["privacy"]["statement"]


def test_privacy_spent_stands_in_the_card_as_a_center_stated_it_without_its_other_studies(tmp_path: Path) -> None:
    write_carded(tmp_path)
    (tmp_path / "p.json").write_text(json.dumps(spent_by("center-a", "demo", "other study")))
    card = build_card(read_facts(tmp_path, "shared", None, spent=[tmp_path / "p.json"]))
    (told,) = card["privacy"]["reported"]
    assert told["center"] == "center-a"
    assert told["spent"] == [{"delta": 1e-5, "epsilon": 2.5, "promised": 3.0, "left": 0.5}]
    assert "as each center itself stated it" in card["privacy"]["statement"]
    assert "other study" not in json.dumps(card)


def test_what_a_center_says_left_without_a_guarantee_stands_beside_its_epsilon(tmp_path: Path) -> None:
    write_carded(tmp_path)
    bare = {"kind": "training", "releases": 12, "of_promised": 1, "since": "2031-05-01T12:00:00+00:00"}
    row = {**bare, "until": "2031-06-01T12:00:00+00:00", "studies": ["other study"]}
    (tmp_path / "p.json").write_text(json.dumps({**spent_by("center-a", "demo"), "without_guarantee": [row]}))
    card = build_card(read_facts(tmp_path, "shared", None, spent=[tmp_path / "p.json"]))
    (told,) = card["privacy"]["reported"]
    assert told["without_guarantee"] == [{"kind": "training", "releases": 12, "since": bare["since"]}]
    assert "other study" not in json.dumps(card)


def test_an_audit_stands_in_the_card_only_where_a_center_handed_it_on(tmp_path: Path, card: dict[str, Any]) -> None:
    assert card["attacks"] == []
    facts = read_facts(tmp_path, "shared", None)
    write_audit(tmp_path / "a.json", audit_of(facts.entry))
    (found,) = build_card(read_facts(tmp_path, "shared", None, [tmp_path / "a.json"]))["attacks"]
    assert (found["center"], found["attacks"][0]["auc"]) == ("center-a", 0.8)


def documented(page: str) -> set[str]:
    """The keys that docs/card.md lists, up to their first part in brackets or dots."""
    rows = re.findall(r"^\| (`.*?`) \|", page, flags=re.MULTILINE)
    return {name.partition(".")[0].partition("[")[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_the_page_of_documentation_has_every_key(card: dict[str, Any], repository: Path) -> None:
    assert documented((repository / "docs" / "card.md").read_text()) == set(card)
