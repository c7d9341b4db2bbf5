"""Overviews of all cases: in order, in this process or in others, which end with it."""

import multiprocessing
from collections.abc import Iterator, Sequence

import pytest

from client.data.manifest import Case, Manifest
from client.data.workers import Crew
from client.viewing import case_overviews
from client.viewing.case_overviews import overview, overviews


def test_a_case_is_drawn_and_measured(looked_at: Manifest):
    seen = overview(looked_at.cases[0])
    assert seen.picture is not None
    assert seen.picture.rows == ("ct", "pet", "fused")
    assert seen.told == "through the largest slices of the contour"
    assert seen.figures.volume_ml == pytest.approx(1.2)
    assert seen.address.startswith("data:image/jpeg;base64,/9j/")


def test_a_case_without_an_image_has_no_picture(looked_at: Manifest):
    case = looked_at.cases[0]
    bare = type(case)("bare", "bare", "hgj", {}, {}, {})
    assert (overview(bare).picture, overview(bare).address) == (None, "")


def test_few_voxels_are_drawn_in_this_process(looked_at: Manifest):
    drawn = overviews(looked_at.cases, workers=8)
    assert next(drawn) == (0, overview(looked_at.cases[0]))
    assert multiprocessing.active_children() == []


def test_many_are_drawn_by_others_and_one_that_fails_says_why(looked_at: Manifest, monkeypatch: pytest.MonkeyPatch):
    """As many processes as the voxels pay for; their results come in any order."""

    def run(crew: Crew, tasks: Sequence[tuple[int, Case]]) -> Iterator[tuple[tuple[int, Case], object]]:
        assert crew.jobs == 2
        yield tasks[1], crew.work(tasks[1])
        yield tasks[0], MemoryError("no room")

    monkeypatch.setattr(case_overviews, "VOXELS_A_PROCESS", 1_000_000)
    monkeypatch.setattr(Crew, "run", run)
    drawn = dict(overviews(looked_at.cases[:2], workers=8))
    assert drawn[1] == overview(looked_at.cases[1])
    assert (drawn[0].picture, drawn[0].told) == (None, "This case could not be drawn: no room.")
