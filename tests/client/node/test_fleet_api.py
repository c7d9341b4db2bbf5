"""What a center asks of a real SuperLink beside its SuperNode: is my key accepted, is this run still wanted."""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from client.app import SOCKET_VARIABLE, trainer_at
from client.home.center_home import CenterHome, membership_of
from client.join.findings import ok
from client.join.network_checks import check_authentication
from client.join.situation import Situation
from client.node.fleet_api import FleetApi, Standing, fleet_api
from client.node.node_key import provide_node_key
from client.node.renewal import adopt_accepted_key
from client.node.run_watch import watch_run
from client.service.trainer_link import TrainerUnavailableError, asker_of
from protocol.messages.instruction import Instruction
from protocol.messages.settings import Model, StudySettings
from protocol.storage.atomic_files import write_text
from server.centers.bundle import BUNDLE_APP
from tests.support.coordinator_stand_in import kit
from tests.support.echo_trainer import EchoTrainer
from tests.support.loopback import CONNECTION, Loopback
from tests.support.one_center import service

pytestmark = [pytest.mark.slow, pytest.mark.network]
SOME_RUN = 7
SETTINGS = StudySettings(study="small", seed=1, model=Model(name="pemma-unetr-tiny"))


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Loopback]:
    """A SuperLink that starts nothing by itself: runs stay pending."""
    found = Loopback(tmp_path_factory.mktemp("link"), repository)
    try:
        found.start_superlink("--isolation", "process")
        yield found
    finally:
        found.stop()


@pytest.fixture
def home(link: Loopback, tmp_path: Path) -> CenterHome:
    """A center's home with a key that nobody has accepted yet."""
    found = CenterHome(tmp_path / "home")
    found.make_folders()
    provide_node_key(found.key)
    of = membership_of(kit(f"localhost:{link.port}"))
    write_text(found.agreement, of.model_dump_json())
    found.authority.write_bytes(authority(link))
    return found


def authority(link: Loopback) -> bytes:
    return (link.folder / "ca.crt").read_bytes()


def register(link: Loopback, path: Path) -> int:
    """Accept the public key at `path`; gives the node's number."""
    answer = link.flwr(
        "supernode", "register", path, CONNECTION, "--name", path.parent.parent.parent.name, "--format", "json"
    )
    return int(json.loads(answer)["node-id"])


def stopped_run(link: Loopback) -> int:
    """The number of a run that was submitted and stopped."""
    run_id = int(json.loads(link.flwr("run", BUNDLE_APP, CONNECTION, "--format", "json"))["run-id"])
    link.flwr("stop", str(run_id), CONNECTION)
    return run_id


def situation(link: Loopback, home: CenterHome) -> Situation:
    of = membership_of(kit(f"localhost:{link.port}"))
    return Situation(home, ok("kit"), of, authority(link), device="cpu", patience_s=0)


def standing(link: Loopback, key: ec.EllipticCurvePrivateKey, known_id: int = 0) -> tuple[Standing, int]:
    with fleet_api(f"localhost:{link.port}", authority(link), key) as api:
        return api.standing(known_id)


def node_status(link: Loopback, node_id: int) -> str:
    nodes = json.loads(link.flwr("supernode", "list", CONNECTION, "--format", "json"))["nodes"]
    return next(str(node["status"]) for node in nodes if node["node-id"] == str(node_id))


def activate(api: FleetApi) -> None:
    """Connect as a SuperNode does."""
    from flwr.proto.fleet_pb2 import ActivateNodeRequest

    api._client.ActivateNode(ActivateNodeRequest(public_key=api._public_key, heartbeat_interval=30.0))


def test_a_key_that_was_not_accepted_is_told_to_send_its_answer(link: Loopback, home: CenterHome) -> None:
    finding = check_authentication(situation(link, home))
    assert finding.status == "failed"
    assert str(home.answer("center-a")) in finding.remedy


def test_an_accepted_key_is_known_and_left_disconnected(link: Loopback, home: CenterHome) -> None:
    node_id = register(link, home.key.with_name("key.pub"))
    of = situation(link, home)
    assert check_authentication(of).status == "ok"
    assert (of.node_id, node_status(link, node_id)) == (node_id, "offline")


def test_a_key_that_is_connected_stays_so_and_is_told_from_one_that_is_not_accepted(
    link: Loopback, home: CenterHome
) -> None:
    key = provide_node_key(home.key)
    node_id = register(link, home.key.with_name("key.pub"))
    with fleet_api(f"localhost:{link.port}", authority(link), key) as api:
        activate(api)
        assert standing(link, key, node_id) == ("online", node_id)
        assert node_status(link, node_id) == "online"


def test_a_key_that_was_turned_away_is_told_so(link: Loopback, home: CenterHome) -> None:
    node_id = register(link, home.key.with_name("key.pub"))
    assert check_authentication(situation(link, home)).status == "ok"
    link.flwr("supernode", "unregister", str(node_id), CONNECTION)
    assert "no longer accepts" in check_authentication(situation(link, home)).text


def test_a_renewed_key_is_taken_into_use_once_it_is_accepted(link: Loopback, home: CenterHome) -> None:
    provide_node_key(home.next_key)
    following = home.next_key.read_bytes()
    assert not adopt_accepted_key(home)
    node_id = register(link, home.next_key.with_name("key.next.pub"))
    assert adopt_accepted_key(home)
    assert (home.key.read_bytes(), situation(link, home).node_id) == (following, node_id)


def test_a_run_that_is_not_running_is_over_and_an_unknown_one_is_not_said_to_be(
    link: Loopback, home: CenterHome
) -> None:
    node_id = register(link, home.key.with_name("key.pub"))
    run_id = stopped_run(link)
    with fleet_api(f"localhost:{link.port}", authority(link), provide_node_key(home.key)) as api:
        assert (api.is_run_over(run_id, node_id), api.is_run_over(SOME_RUN, node_id)) == (True, False)


def test_when_the_run_is_over_the_trainer_is_told_to_stop(
    link: Loopback, home: CenterHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage `slow` would take a minute; its answer says that it was cancelled."""
    node_id = register(link, home.key.with_name("key.pub"))
    run_id = stopped_run(link)
    with tempfile.TemporaryDirectory(prefix="w-") as folder, service(Path(folder), EchoTrainer("center-a")) as trainer:
        monkeypatch.setenv(SOCKET_VARIABLE, str(trainer.socket_path))
        with watch_run(home, run_id=run_id, node_id=node_id, interval_s=0.2):
            started_at = time.monotonic()
            asked = trainer_at(trainer.socket_path, asker=asker_of(run_id))
            reply = asked.perform(Instruction("register", SETTINGS, "slow", 1))
        with suppress(TrainerUnavailableError):
            trainer.link().perform(Instruction("register", SETTINGS, "quit", 1))
        trainer.thread.join()
    assert reply.error == "cancelled"
    assert time.monotonic() - started_at < 30


def test_equal_versions_of_flower_raise_no_warning(link: Loopback, home: CenterHome) -> None:
    with fleet_api(f"localhost:{link.port}", authority(link), provide_node_key(home.key)) as api:
        api.standing()
        assert api.version_warning == ""
