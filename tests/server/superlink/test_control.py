"""What this project needs of Flower's Control API, asked of a real SuperLink at its control door; no SuperExec runs."""

import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.supercore.interceptors.http import RuntimeVersionHttpInterceptor

from protocol.errors import LaunchError
from protocol.flower_internals import FleetHttpClient, Node, NodeAuthHttpInterceptor
from protocol.storage.private_socket import listen_privately
from server.centers.bundle import bundle_bytes
from server.runs.launch import wait_until_taken
from server.study.directory import StudyDirectory
from server.superlink.control import ControlClient, connect_to
from server.superlink.doors import Doors
from server.tls.authority import utc_now
from tests.support.coordinator_root import init_root
from tests.support.loopback import Loopback, free_port, write_certificates, write_node_key
from tests.support.served_root import start_superlink

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def superlink(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[StudyDirectory]:
    """The directory of a SuperLink beside which there is no SuperExec, so that nothing runs what is started."""
    loopback = Loopback(tmp_path_factory.mktemp("l"), repository)
    directory = init_root(tmp_path_factory.mktemp("c") / "root")
    try:
        start_superlink(loopback, directory)
        yield directory
    finally:
        loopback.stop()


@pytest.fixture
def control(superlink: StudyDirectory) -> Iterator[ControlClient]:
    with connect_to(superlink) as client:
        yield client


@pytest.fixture(scope="module")
def bundle(repository: Path) -> bytes:
    return bundle_bytes(repository / "server" / "flower-app")


def public_key(folder: Path, center: str) -> str:
    write_node_key(folder, center)
    return (folder / f"{center}.pub").read_text()


def test_registered_center_is_listed_under_its_name_with_its_key(control: ControlClient, tmp_path: Path) -> None:
    key = public_key(tmp_path, "center-a")
    node_id = control.register(key, "center-a")
    node = next(node for node in control.nodes() if node.name == "center-a")
    assert (node.node_id, node.public_key, node.status, node.last_seen) == (node_id, key.strip(), "registered", None)


def test_a_node_that_calls_is_listed_with_its_last_call(
    superlink: StudyDirectory, control: ControlClient, tmp_path: Path
) -> None:
    """A call as a SuperNode signs it, at the fleet door; and one that shows the key and cannot sign for it."""
    node_id = control.register(public_key(tmp_path, "center-f"), "center-f")
    public_key(tmp_path, "stranger")
    own, foreign = (private_key(tmp_path / name) for name in ("center-f", "stranger"))
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        beat(superlink, node_id, NodeAuthHttpInterceptor(foreign, own.public_key()))
    assert [node.last_call for node in control.nodes() if node.name == "center-f"] == [None]
    before = utc_now()
    beat(superlink, node_id, NodeAuthHttpInterceptor(own, own.public_key()))
    [called] = [node.last_call for node in control.nodes() if node.name == "center-f"]
    assert called is not None
    assert before <= called <= utc_now()


def private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = load_ssh_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def beat(superlink: StudyDirectory, node_id: str, signing: NodeAuthHttpInterceptor) -> None:
    """A heartbeat."""
    verify = str(superlink.authority_certificate)
    transport = httpx.HTTPTransport(
        uds=str(Doors(superlink.root).fleet), verify=ssl.create_default_context(cafile=verify)
    )
    versions = RuntimeVersionHttpInterceptor(component_name="SuperNode")
    with FleetHttpClient.from_server_address("localhost:443", False, None, [versions, signing]) as client:
        client._client.close()
        client._client = httpx.Client(transport=transport)
        client.SendNodeHeartbeat(SendNodeHeartbeatRequest(node=Node(node_id=int(node_id)), heartbeat_interval=30))


def test_unregistered_center_is_listed_no_more(control: ControlClient, tmp_path: Path) -> None:
    node_id = control.register(public_key(tmp_path, "center-b"), "center-b")
    control.unregister(node_id)
    assert "center-b" not in [node.name for node in control.nodes()]


def test_unregistering_twice_is_as_good_as_once(control: ControlClient, tmp_path: Path) -> None:
    node_id = control.register(public_key(tmp_path, "center-c"), "center-c")
    control.unregister(node_id)
    control.unregister(node_id)
    assert "center-c" not in [node.name for node in control.nodes()]


def test_key_that_is_in_use_is_refused_with_flowers_reason(control: ControlClient, tmp_path: Path) -> None:
    key = public_key(tmp_path, "center-d")
    control.register(key, "center-d")
    with pytest.raises(LaunchError, match=r"register center 'center-e' and refused: .*[Pp]ublic key"):
        control.register(key, "center-e")


def test_run_without_a_superexec_stays_pending_until_it_is_stopped(control: ControlClient, bundle: bytes) -> None:
    run_id = control.start_run(bundle, {"study-directory": "/nowhere"})
    run = control.runs()[-1]
    assert (run.run_id, run.status, run.active) == (run_id, "pending", True)
    control.stop_run(run_id)
    assert (control.runs()[-1].status, control.runs()[-1].active) == ("finished:stopped", False)
    control.stop_run(run_id)


def test_the_log_of_a_run_ends_with_it_and_of_one_that_is_not_known_is_refused(
    control: ControlClient, bundle: bytes
) -> None:
    run_id = control.start_run(bundle, {"study-directory": "/nowhere"})
    control.stop_run(run_id)
    assert list(control.log(run_id)) == []
    with pytest.raises(LaunchError, match="for the log of run 7"):
        list(control.log("7"))


def test_launch_says_that_a_run_stays_pending(control: ControlClient, bundle: bytes, tmp_path: Path) -> None:
    run_id = control.start_run(bundle, {"study-directory": "/nowhere"})
    with pytest.raises(LaunchError, match=f"run {run_id} is still pending after 1 s: no SuperExec takes it"):
        wait_until_taken(control, run_id, tmp_path, patience_s=1)
    control.stop_run(run_id)


def test_run_is_known_by_the_hash_of_its_bundle(control: ControlClient, bundle: bytes) -> None:
    control.stop_run(control.start_run(bundle, {"study-directory": "/nowhere"}))
    assert control.runs()[-1].bundle_sha256 == hashlib.sha256(bundle).hexdigest()


def test_option_that_the_bundle_does_not_have_is_refused(control: ControlClient, bundle: bytes) -> None:
    with pytest.raises(LaunchError, match="run configuration"):
        control.start_run(bundle, {"another": "value"})


def test_other_authority_is_named(superlink: StudyDirectory, tmp_path: Path) -> None:
    write_certificates(tmp_path)
    with (
        ControlClient(Doors(superlink.root).control, tmp_path / "ca.crt") as client,
        pytest.raises(LaunchError, match=r"does not come from this consortium's authority"),
    ):
        client.nodes()


def test_version_of_flower_is_that_of_this_command(control: ControlClient) -> None:
    control.check_version()


def test_version_of_flower_that_differs_is_named(control: ControlClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.superlink.control._own_version", lambda: "1.30.0")
    with pytest.raises(LaunchError, match=r"runs Flower 1\.41\..*, this command Flower 1\.30\.0"):
        control.check_version()


def test_no_proxy_of_the_environment_is_asked(superlink: StudyDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "")
    with connect_to(superlink) as client:
        assert isinstance(client.nodes(), tuple)


def test_superlink_that_does_not_run_is_named_with_its_door(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    door = tmp_path / "link.sock"
    with (
        ControlClient(door, tmp_path / "ca.crt") as client,
        pytest.raises(LaunchError, match=rf"SuperLink at {door} for its runs: nothing answers.*concilium serve"),
    ):
        client.runs()


def test_program_that_speaks_no_tls_is_named(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    with listen_privately(tmp_path / "s" / "link.sock") as listener:
        threading.Thread(target=_answer_plainly, args=(listener,), daemon=True).start()
        with (
            ControlClient(tmp_path / "s" / "link.sock", tmp_path / "ca.crt") as client,
            pytest.raises(LaunchError, match="no SuperLink with TLS"),
        ):
            client.runs()


def test_a_door_that_another_account_put_there_is_asked_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_certificates(tmp_path)
    door = tmp_path / "s" / "link.sock"
    with listen_privately(door), ControlClient(door, tmp_path / "ca.crt") as client:
        monkeypatch.setattr("protocol.storage.private_socket.owner_of", lambda _path: 4711)
        monkeypatch.setattr("os.geteuid", lambda: 4712)
        with pytest.raises(LaunchError, match=r"not asked for its runs: .* account number 4711, expected 4712"):
            client.runs()


def _answer_plainly(listener: socket.socket) -> None:
    """The first who comes only knocks."""
    listener.accept()[0].close()
    connection, _ = listener.accept()
    with connection:
        connection.recv(1024)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
