"""A page for one person: where it listens, and what is told."""

import pytest

from reporting.serving import alone
from reporting.serving.live_page import LivePage


def test_it_tells_its_address_and_ends_the_streams_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    page, told, ends = LivePage("a page", dict, str, "", str), list[str](), list[object]()
    monkeypatch.setattr(alone, "serve", lambda _pages, _bound, on_end: ends.append(on_end))
    alone.serve_alone(page, 0, told.append, with_browser=False)
    title, address = told[0].splitlines()
    assert title == "a page: open this address once, in a browser on this machine:"
    assert address.startswith("http://127.0.0.1:")
    assert ends == [page.live.end]
