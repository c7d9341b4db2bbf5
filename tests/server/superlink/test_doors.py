"""What is let through which door of a SuperLink."""

import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from flwr.superlink.grid import http_grid
from flwr.superlink.routers.fleet.router import router

from server.superlink.doors import ALLOWED, RUNTIME_CALLS, Doors, let_through, proxy_account

DOORS = Doors(Path("/study")).by_name()


def ask(door: str, path: str, kind: str = "http") -> list[Any]:
    """What a caller at a door gets: what the application sent, or the status of a refusal."""
    sent: list[Any] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"status": "passed"})

    async def send(message: Any) -> None:
        sent.append(message.get("status"))

    async def receive() -> Any:
        return {}

    async def call() -> None:
        await let_through(app, DOORS)({"type": kind, "server": (door, None), "path": path}, receive, send)

    asyncio.run(call())
    return sent


@pytest.mark.parametrize("door", ALLOWED)
@pytest.mark.parametrize("path", sorted(frozenset().union(*ALLOWED.values())))
def test_a_door_lets_its_own_calls_through_and_no_others(door: str, path: str) -> None:
    passes = ask(str(DOORS[door]), path) == ["passed"]
    assert passes == (path in ALLOWED[door])


@pytest.mark.parametrize(
    ("door", "path"),
    [
        ("/elsewhere", "/v1/control/list-runs"),
        (str(DOORS["control"]), "/v1/control/create-federation"),
        (str(DOORS["control"]), "/docs"),
        (str(DOORS["runtime"]), "/v1/runtime/create-task"),
        (str(DOORS["runtime"]), "/v1/runtime/start-automation"),
        (str(DOORS["fleet"]), "/v1/fleet/../control/list-runs"),
        (str(DOORS["fleet"]), "//v1/fleet/get-run"),
    ],
)
def test_anything_else_is_forbidden(door: str, path: str) -> None:
    assert ask(door, path) == [403, None]


def test_another_protocol_gets_no_answer() -> None:
    assert ask(str(DOORS["control"]), "/v1/control/list-runs", "websocket") == []


def test_the_beginning_and_end_of_the_program_pass() -> None:
    assert ask("", "", "lifespan") == ["passed"]


def test_the_fleet_door_passes_all_that_flower_offers_to_supernodes() -> None:
    assert ALLOWED["fleet"] == {str(getattr(route, "path", "")) for route in router.routes}


def test_the_runtime_door_passes_all_that_a_serverapps_grid_calls() -> None:
    called = set(re.findall(r"_runtime_client\.([A-Z]\w+)\(|client\.([A-Z]\w+)", inspect.getsource(http_grid)))
    names = {re.sub(r"(?<!^)(?=[A-Z])", "-", first or second).lower() for first, second in called}
    assert names
    assert names <= set(RUNTIME_CALLS)


def test_only_root_gives_the_proxy_an_account_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert proxy_account() is None
    monkeypatch.setattr("os.geteuid", lambda: 0)
    account = proxy_account()
    assert account is not None
    assert account.pw_uid != 0
