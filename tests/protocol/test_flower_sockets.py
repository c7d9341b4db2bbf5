"""Flower's servers and clients on private sockets, and its tasks without a token among their arguments."""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import uvicorn
from flwr.supercore.constant import TaskType
from flwr.supercore.protobuf.client import ProtobufClient
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.superexec.executor import subprocess_executor
from flwr.supercore.superexec.executor.types import ExecutionSpec

from protocol.errors import OtherFlowerError
from protocol.flower_sockets import TOKEN_VARIABLE, bring_token, call_through, serve_at, start_tasks_with
from protocol.storage.private_socket import listen_privately


async def answer(scope: dict[str, Any], _receive: Any, send: Any) -> None:
    """Tells who is asked and where."""
    if scope["type"] == "http":
        said = f"{scope['server'][0]} {scope['path']}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": said})


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    """A socket at which what Flower would start on a port listens."""
    path, module = tmp_path / "a.sock", ModuleType("flowers")
    module.uvicorn = uvicorn  # type: ignore[attr-defined]
    serve_at(module, [listen_privately(path)])
    settings = module.uvicorn.Config(answer, host="127.0.0.1", port=1, lifespan="off", ws="none", log_config=None)
    server = module.uvicorn.Server(settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    while thread.is_alive() and not server.started:
        time.sleep(0.01)
    assert server.started
    yield path
    server.should_exit = True
    thread.join()


def test_a_client_reaches_the_socket_whatever_address_it_is_given(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RuntimeHttpClient, "__init__", RuntimeHttpClient.__init__)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    call_through(served)
    with RuntimeHttpClient.from_server_address("nowhere:1", True, None, []) as client:
        assert client._client.get("http://nowhere:1/x").text == f"{served} /x"


def test_other_clients_of_flowers_keep_their_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that asks the coordinator for instance."""
    monkeypatch.setattr(RuntimeHttpClient, "__init__", RuntimeHttpClient.__init__)
    before = ProtobufClient.__init__
    call_through(tmp_path / "a.sock")
    assert ProtobufClient.__init__ is before


@pytest.mark.parametrize("module", [ModuleType("other"), SimpleNamespace(uvicorn=SimpleNamespace(Server=object))])
def test_a_flower_that_starts_its_server_otherwise_is_refused(module: Any) -> None:
    with pytest.raises(OtherFlowerError, match="could not be kept private; nothing runs"):
        serve_at(module, [])


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, Any]]]:
    """What a SuperExec would start."""
    found: list[tuple[list[str], dict[str, Any]]] = []
    fake = SimpleNamespace(Popen=lambda words, **options: found.append((words, options)), DEVNULL=-3)
    monkeypatch.setattr(subprocess_executor, "subprocess", fake)
    return found


def launch(task: TaskType) -> None:
    spec = ExecutionSpec(
        task_type=task,
        token="secret",
        runtime_api_address="a:1",
        insecure=True,
        root_certificates_path=None,
        parent_pid=None,
        runtime_dependency_install=False,
        suppress_output=False,
        task_id=1,
    )
    subprocess_executor.SubprocessExecutor().launch(spec)


def test_a_task_gets_its_token_where_no_other_account_reads_it(started: list[Any]) -> None:
    start_tasks_with({"flwr-serverapp": ("ours", "root")})
    launch(TaskType.SERVER_APP)
    words, options = started[0]
    assert words == ["ours", "root", "--runtime-api-address", "a:1", "--insecure"]
    assert options["env"][TOKEN_VARIABLE] == "secret"


def test_a_task_of_another_kind_is_not_started(started: list[Any]) -> None:
    start_tasks_with({"flwr-serverapp": ("ours",)})
    launch(TaskType.AGENT_APP)
    assert started[0][0][:3] == [sys.executable, "-I", "-c"]
    assert "runs no such task" in started[0][0][3]


def test_a_token_of_the_environment_is_brought_to_where_flower_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "secret")
    monkeypatch.setattr(sys, "argv", ["app"])
    bring_token()
    bring_token()
    assert sys.argv == ["app", "--token", "secret"]
