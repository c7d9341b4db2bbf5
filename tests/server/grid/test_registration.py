"""Nodes introduce themselves: those that are wanted, once they are there, again where they were lost."""

import time
from typing import Any

import pytest

from client.app import build_client_app
from deploy.simulation.in_process import InProcessGrid
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from server.grid.center_grid import CenterGrid, GridError
from tests.support.grids import REGISTER, NamelessGrid, apps, in_time, says
from tests.support.light_study import ComingAndGoing, LightCenter
from tests.support.patient_grid import failing, patient, soon


def test_nameless_nodes_are_no_centers_until_they_register() -> None:
    center_grid = CenterGrid(NamelessGrid(apps("b", "a")))
    assert center_grid.centers() == {}
    assert sorted(in_time(center_grid.register(REGISTER, deadline_s=5, expected=["a", "b"]))) == ["a", "b"]
    assert center_grid.centers() == {"a": 2, "b": 3}


def test_node_that_does_not_say_its_name_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    center_grid = CenterGrid(NamelessGrid({"a": says("a"), "b": says("")}), poll_s=0.01)
    assert sorted(in_time(center_grid.register(REGISTER, deadline_s=0.1, expected=["a", "b"]))) == ["a"]
    assert "node 3 did not say whose it is" in caplog.text


def test_two_nodes_with_one_name_are_refused() -> None:
    grid = NamelessGrid({"1": says("a"), "2": says("a")})
    with pytest.raises(GridError, match=r"\['a'\] are connected by more than one node"):
        in_time(CenterGrid(grid).register(REGISTER, deadline_s=5, expected=["a", "b"]))


def test_register_waits_for_expected_centers_no_longer_than_the_deadline() -> None:
    start = time.monotonic()
    center_grid = CenterGrid(InProcessGrid(apps("a")), poll_s=0.01)
    assert sorted(in_time(center_grid.register(REGISTER, deadline_s=0.1, expected=["a", "z"]))) == ["a"]
    assert 0.1 <= time.monotonic() - start < 2


def test_center_outside_the_study_is_left_alone() -> None:
    """Center '0' would be first to run."""
    asked: list[str] = []

    def perform(_: Instruction) -> Reply:
        asked.append("0")
        return Reply("0", "register")

    center_grid = CenterGrid(InProcessGrid({"a": says("a"), "0": build_client_app(perform)}))
    assert sorted(in_time(center_grid.register(REGISTER, deadline_s=5, expected=["a"]))) == ["a"]
    assert asked == []


def test_register_asks_a_node_that_connects_meanwhile() -> None:
    grid = InProcessGrid(apps("a", "b"))
    late, grid._names = grid._names, {2: "a"}
    seen = []

    class Growing:
        """Passes everything on; the second node appears at the third look."""

        def __getattr__(self, name: str) -> Any:
            if name == "get_nodes":
                seen.append(1)
                grid._names = late if len(seen) > 2 else {2: "a"}
            return getattr(grid, name)

    center_grid = CenterGrid(Growing(), poll_s=0.01)  # type: ignore[arg-type]
    assert sorted(in_time(center_grid.register(REGISTER, deadline_s=5, expected=["a", "b"]))) == ["a", "b"]


def test_registration_asks_a_trainer_again_that_was_away(grid: ComingAndGoing, centers: dict[str, LightCenter]) -> None:
    centers["a"].before = failing(times=2)
    replies = in_time(patient(grid).register(REGISTER, deadline_s=30, expected=["a", "b"]))
    assert {center: reply.error for center, reply in replies.items()} == {"a": "", "b": ""}


def test_registration_asks_a_node_that_started_anew(grid: ComingAndGoing) -> None:
    grid.swallowed.add("a")
    soon(lambda: grid.activations.update(a="later"))
    assert sorted(in_time(patient(grid).register(REGISTER, deadline_s=30, expected=["a"]))) == ["a"]


def test_registration_goes_on_with_enough_once_patience_is_over(grid: ComingAndGoing) -> None:
    grid.away.add("a")
    start = time.monotonic()
    replies = in_time(patient(grid, 0.3).register(REGISTER, deadline_s=30, expected=["a", "b"], enough=1))
    assert sorted(replies) == ["b"]
    assert 0.3 <= time.monotonic() - start < 5


def test_registration_waits_for_enough_until_the_deadline(grid: ComingAndGoing) -> None:
    """Patience is over long before the second center comes."""
    grid.away.add("a")
    soon(grid.away.clear, 0.6)
    replies = in_time(patient(grid, 0.1).register(REGISTER, deadline_s=30, expected=["a", "b"], enough=2))
    assert sorted(replies) == ["a", "b"]


def test_nodes_are_not_looked_up_anew_for_each_that_answers() -> None:
    names = [f"c{number:02d}" for number in range(40)]
    looks: list[int] = []

    class Counted(InProcessGrid):
        def get_nodes(self) -> list[Any]:
            looks.append(1)
            return super().get_nodes()

    center_grid = CenterGrid(Counted(apps(*names)), poll_s=0.01)
    assert len(in_time(center_grid.register(REGISTER, deadline_s=5, expected=names))) == 40
    assert len(looks) == 1
