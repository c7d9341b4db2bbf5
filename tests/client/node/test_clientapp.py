"""Code that runs at a hospital is the code it agreed to: real bundles built by Flower, against the guard.

The last tests name what is used of Flower's internals: an upgrade that takes it away turns them red, and the guard
refuses to run.
"""

import hashlib
import importlib
import json
import shutil
import subprocess
import sys
import types
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.cli.build import build_fab_from_disk

from client.app import NODE_HOME_VARIABLE, PATIENCE_VARIABLE, SOCKET_VARIABLE
from client.home.center_home import CenterHome
from client.join.joining import prepare
from client.node.bundle_guard import write_accepted
from client.node.clientapp import REPLACED, Guard, GuardError, WithheldError, install, run_loop
from client.outgoing.outgoing_log import LOG
from deploy.simulation.in_process import assume_task_identity
from protocol.flower_codec import read_reply
from protocol.flower_internals import run_clientapp
from server.centers.bundle import BUNDLE_APP, bundle_bytes, bundle_sha256
from tests.support.coordinator_stand_in import kit

ALLOWED = {"study-directory": "/anything"}


@pytest.fixture(scope="module")
def bundle() -> bytes:
    return bundle_bytes()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CenterHome:
    """A center that has agreed to the bundle of this version; no trainer runs beside it."""
    found = CenterHome(tmp_path / "home")
    prepare(found, kit("nowhere.invalid:443", bundle_sha256=bundle_sha256()), b"authority")
    monkeypatch.setenv(NODE_HOME_VARIABLE, str(found.node))
    monkeypatch.setenv(SOCKET_VARIABLE, str(found.socket))
    monkeypatch.setenv(PATIENCE_VARIABLE, "0")
    return found


@pytest.fixture
def extended(tmp_path: Path) -> bytes:
    """A bundle that Flower built from our app with a module beside it."""
    app = Path(shutil.copytree(BUNDLE_APP, tmp_path / "flower-app"))
    (app / "extra.py").write_text("raise SystemExit('ran')")
    with warnings.catch_warnings():
        # Flower's own use of pathspec.
        warnings.simplefilter("ignore", DeprecationWarning)
        return build_fab_from_disk(app)


def answer_to(guard: Guard, options: Mapping[str, Any] = ALLOWED) -> str:
    """The error code that leaves in answer to a message that is no instruction."""
    assume_task_identity()
    message = Message(RecordDict(), 2, "query")
    message.metadata.__dict__["_message_id"] = "m"
    context = Context(run_id=1, node_id=2, node_config={}, state=RecordDict(), run_config=dict(options), series_id=1)
    return read_reply(guard.handle(message, context).content).error


def offered(home: CenterHome, bundle: bytes) -> Guard:
    """A guard that Flower has handed a bundle."""
    guard = Guard(home)
    guard.install_from_fab(bundle, skip_prompt=True)
    return guard


def accept(home: CenterHome, bundle: bytes) -> None:
    write_accepted(home.bundles, [hashlib.sha256(bundle).hexdigest()])


def test_the_bundle_that_was_agreed_on_lets_the_installed_app_answer(home: CenterHome, bundle: bytes) -> None:
    """The app itself says that an empty message is no instruction."""
    assert answer_to(offered(home, bundle)) == "unreadable"


def test_a_bundle_with_one_byte_changed_is_refused(home: CenterHome, bundle: bytes) -> None:
    changed = bundle.replace(b"client.app:app", b"client.apq:app", 1)
    assert len(changed) == len(bundle)
    assert answer_to(offered(home, changed)) == "bundle-refused"


def test_a_bundle_with_code_is_refused_even_if_its_hash_were_accepted(home: CenterHome, extended: bytes) -> None:
    accept(home, extended)
    assert answer_to(offered(home, extended)) == "bundle-refused"


def test_nothing_of_a_bundle_is_unpacked(home: CenterHome, bundle: bytes) -> None:
    offered(home, bundle)
    assert list(home.flower.rglob("*")) == []


def test_a_message_before_any_bundle_is_refused(home: CenterHome) -> None:
    assert answer_to(Guard(home)) == "guard"


def test_where_nothing_was_accepted_every_bundle_is_refused(home: CenterHome, bundle: bytes) -> None:
    home.bundles.write_text("{}")
    assert answer_to(offered(home, bundle)) == "bundle-refused"


def test_a_run_option_that_the_agreement_does_not_name_is_refused(home: CenterHome, bundle: bytes) -> None:
    assert answer_to(offered(home, bundle), {**ALLOWED, "trainer": "/etc/passwd"}) == "run-option-refused"


def test_a_refusal_is_logged_before_it_leaves(home: CenterHome, bundle: bytes) -> None:
    answer_to(offered(home, bundle + b"x"))
    lines = [json.loads(line) for line in (home.node / LOG).read_text().splitlines()]
    assert [line["error"] for line in lines] == ["bundle-refused"]


def test_a_refusal_that_cannot_be_logged_does_not_leave(home: CenterHome, bundle: bytes) -> None:
    (home.node / LOG).mkdir()
    with pytest.raises(WithheldError, match=r"^storage$"):
        answer_to(offered(home, bundle + b"x"))


def test_what_fails_in_the_guard_leaves_as_a_code(home: CenterHome, bundle: bytes) -> None:
    """Flower sends the text of an exception to the coordinator; a path must not be in it."""
    guard = offered(home, bundle)
    with pytest.raises(WithheldError, match=r"^internal$"):
        guard.handle(None, None)  # type: ignore[arg-type]


def test_a_refusal_names_no_path_of_the_center(home: CenterHome, bundle: bytes) -> None:
    assert str(home.root) not in answer_to(offered(home, bundle + b"x"))


def test_no_dependency_is_ever_installed(home: CenterHome) -> None:
    with pytest.raises(WithheldError, match="dependency-refused"):
        Guard(home).install_app_dependencies("anything")


def test_whatever_the_bundle_names_the_app_is_the_guarded_one(home: CenterHome) -> None:
    guard = Guard(home)
    load = guard.get_load_client_app_fn(default_app_ref="", app_path=None, multi_app=True)
    assert load("publisher/app", "1.0.0", "hash") == guard.handle


def test_flowers_loop_uses_the_names_that_are_replaced(home: CenterHome) -> None:
    flower = run_clientapp
    stand_in = types.ModuleType("copy")
    stand_in.__dict__.update(vars(flower))
    guard = Guard(home)
    install(guard, stand_in)
    assert [getattr(stand_in, name) for name in REPLACED] == [getattr(guard, name) for name in REPLACED]


@pytest.mark.parametrize("name", REPLACED)
def test_a_flower_without_one_of_the_names_is_refused(home: CenterHome, name: str) -> None:
    stand_in = types.ModuleType("copy")
    stand_in.__dict__.update(vars(run_clientapp))
    delattr(stand_in, name)
    with pytest.raises(GuardError, match=f"does not use .*{name}"):
        install(Guard(home), stand_in)


def test_a_flower_whose_loop_no_longer_calls_them_is_refused(home: CenterHome) -> None:
    stand_in = types.ModuleType("copy")
    stand_in.__dict__.update(vars(run_clientapp), run_clientapp=lambda: None)
    with pytest.raises(GuardError, match="could not be checked"):
        install(Guard(home), stand_in)


def test_the_loop_has_what_flowers_command_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--runtime-api-address", "localhost:443", "--insecure", "--parent-pid", "7", "--token", "ab" * 128]
    monkeypatch.setattr(sys, "argv", ["ours", *words])
    taken: list[dict[str, Any]] = []

    def note(**options: Any) -> None:
        taken.append(options)

    command = importlib.import_module("flwr.supernode.cli.flwr_clientapp")
    monkeypatch.setattr(command, "run_clientapp", note)
    command.flwr_clientapp()
    stand_in = types.ModuleType("loop")
    stand_in.run_clientapp = note  # type: ignore[attr-defined]
    run_loop(stand_in)
    theirs, ours = taken
    assert ours == theirs
    assert (ours["parent_pid"], ours["token"]) == (7, "ab" * 128)


def test_what_is_started_for_every_message_loads_no_database_and_no_server() -> None:
    """They are the SuperNode's, and cost nearly half of a start."""
    names = "run_clientapp, add_args_flwr_app_common, try_obtain_flwr_app_token, validate_and_resolve_root_certificates"
    code = (
        f"import sys, client.node.clientapp; from protocol.flower_internals import {names}; "
        "sys.exit(bool({'sqlalchemy', 'uvicorn', 'torch'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
