import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from reporting.pages import open_templates

PAGE = """{% extends "page.html" %}{% from "cells.html" import number %}
{% block title %}{{ name }}{% endblock %}{% block style %}b { color: red; }{% endblock %}
{% block page %}{{ number(dice | figure(3)) }}{% endblock %}"""


def render(**values: object) -> str:
    """As a page of another package, which has neither frame nor cells of its own."""
    return open_templates("server.results").from_string(PAGE).render(**values)


def test_a_page_has_its_title_its_style_and_its_cells_in_the_common_frame() -> None:
    found = render(name="a < b", dice=0.5)
    assert "<title>a &lt; b</title>" in found
    assert found.index("--ink") < found.index("b { color: red; }") < found.index('<td class="number">0.500</td>')


def test_a_card_that_scrolls_sideways_on_a_phone_can_be_reached_with_the_keyboard(repository: Path) -> None:
    """Live pages scroll in boxes of their own, and what stands in the login is not wider than a phone."""
    cards = {
        found
        for room in ("client", "server", "deploy")
        for page in sorted((repository / room).rglob("templates/*.html"))
        if page.name != "login.html"
        for found in re.findall(r'<section class="card[^>]*>', page.read_text())
    }
    assert cards
    assert all('tabindex="0"' in card for card in cards)


def test_what_is_undefined_is_marked() -> None:
    assert '<td class="number undefined">undefined</td>' in render(name="", dice=None)


def test_a_page_that_names_what_it_was_not_given_is_refused() -> None:
    with pytest.raises(UndefinedError, match="'name' is undefined"):
        render(dice=0.5)
