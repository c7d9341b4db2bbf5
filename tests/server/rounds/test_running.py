"""A study that is extended while it runs goes on with what was added when the stage under way is done."""

from collections.abc import Callable
from pathlib import Path

from server.grid.center_grid import CenterGrid
from server.study.directory import replace_study
from server.study.events import Event, Extended, RoundStarted
from tests.support.extended_study import FROM_THE_BEGINNING, three
from tests.support.light_study import run_untracked


def in_round(number: int, act: Callable[[], object], heard: list[Event]) -> Callable[[Event], None]:
    def listen(event: Event) -> None:
        heard.append(event)
        if isinstance(event, RoundStarted) and (event.stage.name, event.number) == ("adapt", number):
            act()

    return listen


def test_a_stage_that_comes_within_a_round_begins_after_the_stage_under_way(tmp_path: Path) -> None:
    heard: list[Event] = []
    found = three(tmp_path)
    found.run(in_round(2, lambda: replace_study(found.root, FROM_THE_BEGINNING), heard))
    assert [(number, center) for number, center, _ in found.errors] == [
        *((number, center) for number in (1, 2, 3) for center in "ab"),
        *[(4, "c"), (5, "c")],
    ]
    kinds = [type(event).__name__ for event in heard]
    assert (kinds.count("Ended"), kinds.index("Extended") > kinds.index("StageScored")) == (1, True)
    (told,) = [event for event in heard if isinstance(event, Extended)]
    assert [stage.name for stage in told.study.stages] == ["adapt", "come"]


def test_a_study_file_that_was_changed_by_hand_changes_nothing_of_a_run(tmp_path: Path) -> None:
    found, heard = three(tmp_path), list[Event]()
    found.run(in_round(2, lambda: found.directory.study_file.write_text(FROM_THE_BEGINNING), heard))
    assert {number for number, *_ in found.errors} == {1, 2, 3}


def test_a_center_sits_out_where_it_has_not_agreed_and_is_scored_all_the_same(tmp_path: Path) -> None:
    """Not asked, not waited for: what it would have had to do comes back as `not-agreed`."""
    found = three(tmp_path, FROM_THE_BEGINNING.replace('["c"]', '["b", "c"]'))
    run_untracked(CenterGrid(found.grid, poll_s=0.01), found.root, not_agreed=lambda: {"b": ("come",)})
    assert [error for number, center, error in found.errors if center == "b"] == [
        "",
        "",
        "",
        "not-agreed",
        "not-agreed",
    ]
    trained = [told.stage for told in found.centers["b"].performed if told.kind == "train"]
    assert set(trained) == {"adapt"}
    assert "b" in found.state.history.rows[-1].test
