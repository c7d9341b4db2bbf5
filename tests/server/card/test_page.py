import re
from pathlib import Path
from typing import Any

import pytest

from protocol.messages.audit import write_audit
from server.card.known_facts import read_facts
from server.card.model_card import build_card
from server.card.page import card_html, score_tables
from tests.support.carded_study import audit_of, carded_result, withheld_result, write_carded
from tests.support.example_result import visible_text


@pytest.fixture
def card(tmp_path: Path) -> dict[str, Any]:
    entry = write_carded(tmp_path)
    write_audit(tmp_path / "a.json", audit_of(entry))
    return build_card(read_facts(tmp_path, "shared", None, [tmp_path / "a.json"]))


def test_the_page_loads_nothing_from_elsewhere(card: dict[str, Any]) -> None:
    page = card_html(card)
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page) == []
    assert "<script" not in page


def test_the_page_says_what_matters_first(card: dict[str, Any]) -> None:
    text = visible_text(card_html(card))
    assert text.index("Not a medical device") < text.index("Known limits") < text.index("Scores")
    assert "synthetic" in text.lower()


def test_an_attack_shows_its_interval_and_that_the_others_were_too_few(card: dict[str, Any]) -> None:
    text = visible_text(card_html(card))
    assert "0.80 [0.55, 0.97]" in text
    assert "3 of 7, 0 of 5 others mistaken; too few others for a rate of 1 %" in text


def test_an_attack_that_its_center_withholds_has_a_word_and_no_number(tmp_path: Path) -> None:
    entry = write_carded(tmp_path)
    write_audit(tmp_path / "a.json", audit_of(entry, attacks=(), suppressed=("gram-sketch",)))
    text = visible_text(card_html(build_card(read_facts(tmp_path, "shared", None, [tmp_path / "a.json"]))))
    assert "gram-sketch withheld too few patients stand behind it" in " ".join(text.split())


def test_what_was_not_scored_has_a_word_and_no_number(card: dict[str, Any]) -> None:
    (table,) = (table for table in score_tables(card["scores"]) if table.setting == "pet")
    dice = dict(table.rows)["Dice"]
    assert dict(zip(table.centers, dice, strict=True))["center-d"] == ("absent", "")


def test_an_input_that_every_center_holds_back_stays_on_the_page(tmp_path: Path) -> None:
    write_carded(tmp_path, withheld_result("pet"))
    scores = build_card(read_facts(tmp_path, "shared", None))["scores"]
    (table,) = (table for table in score_tables(scores) if table.setting == "pet")
    assert {cell for _, cells in table.rows for cell in cells} == {("withheld", "")}


def test_names_of_a_study_are_text(tmp_path: Path) -> None:
    write_carded(tmp_path, carded_result(title="<b>bold</b>"))
    assert "<b>bold</b>" not in card_html(build_card(read_facts(tmp_path, "shared", None)))
