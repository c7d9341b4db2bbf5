"""The table of events and the sentences that are made of it."""

import re

import pytest

from server.notices.events import EVENTS, Kind, notice


@pytest.mark.parametrize("kind", EVENTS)
def test_every_event_has_a_remedy_whose_places_can_be_filled_in(kind: Kind):
    found = notice(kind, "x", "what", root="/study", endpoint="c.example:443")
    assert found.title
    assert len(found.remedy) > 20
    assert not re.search(r"[{}]", found.remedy)


def test_a_notice_is_remembered_by_what_it_is_about_and_not_by_its_figures():
    one, later = (notice("disk-nearly-full", "/study", f"{free} GB", root="/study") for free in (2, 1))
    assert one.key == later.key == "disk-nearly-full//study"


def test_a_remedy_of_its_own_stands():
    assert notice("certificate-ends", "x", "what", remedy="renew").remedy == "renew"
