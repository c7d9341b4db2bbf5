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


def test_what_is_undefined_is_marked() -> None:
    assert '<td class="number undefined">undefined</td>' in render(name="", dice=None)


def test_a_page_that_names_what_it_was_not_given_is_refused() -> None:
    with pytest.raises(UndefinedError, match="'name' is undefined"):
        render(dice=0.5)
