"""The coordinator's hand on Flower: nodes and runs of a SuperLink, through Flower's own Control API client.

In process, since a call of the `flwr` command takes seconds; tests/server/superlink/test_control.py talks to a real
SuperLink. It is asked through the control door, a socket that only the account that serves can open (`doors`).
"""

import hashlib
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
    load_ssh_public_key,
)

from protocol.errors import LaunchError, SocketError
from protocol.flower_internals import (
    HEARTBEAT_PATIENCE,
    ApiErrorCode,
    ControlHttpClient,
    Fab,
    FlowerError,
    ListNodesRequest,
    ListRunsRequest,
    NodeInfo,
    ProtobufCall,
    ProtobufRequestContext,
    RegisterNodeRequest,
    RuntimeVersionMetadata,
    StartRunRequest,
    StopRunRequest,
    StreamLogsRequest,
    UnregisterNodeRequest,
    run_pb2,
    user_config_to_proto,
)
from protocol.storage.private_socket import knock
from server.study.coordinator_settings import read_coordinator
from server.study.directory import StudyDirectory
from server.superlink.control_causes import LinkAwayError, explain_refusal, explain_unreachable
from server.superlink.doors import LAST_CALLS_PATH, Doors
from server.superlink.last_calls import name_of, read_table
from server.superlink.link import RegisteredNode, Run
from server.superlink.link_trust import trust, trust_in_server

TIMEOUT_S = 10.0
NAME_IN_CERTIFICATE = "localhost"


class ControlClient:
    """Nodes and runs of one SuperLink; to be closed, or used with `with`. No proxy is ever asked.

    Args:
        door: the SuperLink's socket for such calls.
        ca: PEM file of the authority that signed its certificate.
        certificate: PEM file of the server's certificate, whose key it must have; without, any of the authority's does.
        timeout_s: how long one call may take.

    Every method raises LaunchError, which names the socket, the cause and what to do.
    """

    def __init__(self, door: Path, ca: Path, certificate: Path | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._address, self._door = str(door), door
        trusted = trust(ca) if certificate is None else trust_in_server(ca, certificate, self._address)
        self._client = _DoorClient(door, trusted, timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def check_version(self) -> None:
        """Refuse a SuperLink whose Flower is of another minor release than ours."""
        with self._asking("for its version"):
            theirs, ours = self._client.version(), _own_version()
        if _minor(theirs) != _minor(ours):
            raise LaunchError(
                f"the SuperLink at {self._address} runs Flower {theirs}, this command Flower {ours}; use the same "
                "release of Concilium for both, and start the SuperLink again after an upgrade"
            )

    def register(self, public_key_openssh: str, name: str) -> str:
        """Let the SuperNode with this key in under a center's name.

        Returns:
            Flower's id of the node.
        """
        pem = load_ssh_public_key(public_key_openssh.encode()).public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        with self._asking(f"to register center '{name}'"):
            return str(self._client.RegisterNode(RegisterNodeRequest(public_key=pem, name=name)).node_id)

    def unregister(self, node_id: str) -> None:
        """Turn a SuperNode away from now on; one that is not registered any more is left at that."""
        with self._asking(f"to unregister node {node_id}", already=ApiErrorCode.NODE_NOT_FOUND):
            self._client.UnregisterNode(UnregisterNodeRequest(node_id=int(node_id)))

    def nodes(self) -> tuple[RegisteredNode, ...]:
        """The registered SuperNodes, in order of their names."""
        with self._asking("for its nodes"):
            answer, calls = self._client.ListNodes(ListNodesRequest()), self._client.last_calls()
            found = [_node(info, calls) for info in answer.nodes_info if not info.unregistered_at]
        return tuple(sorted(found, key=lambda node: node.name))

    def start_run(self, bundle: bytes, options: Mapping[str, str]) -> str:
        """Queue a run of a bundle.

        Returns:
            The run's id.
        """
        sha256 = hashlib.sha256(bundle).hexdigest()
        request = StartRunRequest(
            fab=Fab(hash_str=sha256, content=bundle), override_config=user_config_to_proto(dict(options))
        )
        with self._asking("to start a run"):
            run_id = self._client.StartRun(request).run_id
        if not run_id:
            raise LaunchError(
                f"the SuperLink at {self._address} took no run of bundle {sha256[:12]} ({len(bundle)} bytes); it "
                "allows 10 MB. Look into its log, ROOT/logs/superlink.log"
            )
        return str(run_id)

    def runs(self) -> tuple[Run, ...]:
        """All runs, in the order in which they were started."""
        with self._asking("for its runs"):
            answer = self._client.ListRuns(ListRunsRequest())
            found = [_run(run) for run in answer.run_dict.values()]
        return tuple(sorted(found, key=lambda run: run.pending_at or datetime.min.replace(tzinfo=UTC)))

    def stop_run(self, run_id: str) -> None:
        """Stop a run; one that is finished already is left at that."""
        with self._asking(f"to stop run {run_id}", already=ApiErrorCode.RUN_ALREADY_FINISHED):
            self._client.StopRun(StopRunRequest(run_id=int(run_id)))

    def log(self, run_id: str) -> Iterator[str]:
        """What the ServerApp of a run has printed, then what it prints, until the run ends."""
        with self._asking(f"for the log of run {run_id}"):
            for answer in self._client.StreamLogs(StreamLogsRequest(run_id=int(run_id))):
                yield answer.log_output

    @contextmanager
    def _asking(self, what: str, already: ApiErrorCode | None = None) -> Iterator[None]:
        """Turn what can go wrong in a call into a LaunchError; `already`: the refusal that is as good as done."""
        try:
            _knock(self._door)
            yield
        except httpx.HTTPStatusError as error:
            refusal = FlowerError.from_json(error.response.text)
            if refusal is None or already is None or refusal.code != already:
                raise LaunchError(explain_refusal(self._address, what, error.response, refusal)) from error
        except SocketError as error:
            raise LinkAwayError(f"the SuperLink was not asked {what}: {error}") from error
        except httpx.TransportError as error:
            raise LinkAwayError(explain_unreachable(self._address, what, error)) from error
        except (ValueError, TypeError, KeyError) as error:
            raise LaunchError(
                f"asked {what}, {self._address} gave an answer that cannot be read ({error}); only Flower "
                f"{_own_version()} is understood. See that the SuperLink has that version"
            ) from error


def connect_to(directory: StudyDirectory) -> ControlClient:
    """A client of a study's own SuperLink; what another study's answers in its place is a LaunchError at every call.

    Raises:
        StudyError: the directory is no coordinator's.
        EnrolmentError: the server's certificate cannot be read.
        LaunchError: the authority's certificate cannot be read.
    """
    read_coordinator(directory.coordinator)
    door = Doors(directory.root.resolve()).control
    return ControlClient(door, directory.authority_certificate, directory.server_certificate)


def _knock(door: Path) -> None:
    """Connect once by ourselves: httpx leaves the socket of a failed attempt open."""
    try:
        knock(door)
    except OSError as error:
        raise httpx.ConnectError(str(error)) from error


class _DoorClient(ControlHttpClient):
    """Flower's client, through a socket; no proxy is ever asked."""

    def __init__(self, door: Path, trust: ssl.SSLContext, timeout_s: float) -> None:
        super().__init__(f"https://{NAME_IN_CERTIFICATE}", interceptors=[_OwnVersion()], verify=trust)
        self._client.close()
        transport = httpx.HTTPTransport(uds=str(door), verify=trust)
        self._client = httpx.Client(transport=transport, timeout=timeout_s, trust_env=False)

    def version(self) -> str:
        """The SuperLink's version of Flower: the API itself neither tells it nor refuses another in 1.41."""
        answer = self._client.get(f"{self._base_url}/openapi.json").raise_for_status()
        return str(answer.json()["info"]["version"])

    def last_calls(self) -> Mapping[str, float]:
        """When each SuperNode last called, by the name of its key; nothing where the SuperLink does not tell."""
        answer = self._client.get(f"{self._base_url}{LAST_CALLS_PATH}")
        if answer.status_code == httpx.codes.FORBIDDEN:
            return {}
        return read_table(answer.raise_for_status().text)


class _OwnVersion:
    """Tells the SuperLink our version of Flower; Flower's own interceptor ends the process where versions differ."""

    def __init__(self) -> None:
        self._headers = dict(RuntimeVersionMetadata.from_local_component("concilium").as_metadata())

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        """One call."""
        context.request.headers.update(self._headers)
        return call_next(context)


def _own_version() -> str:
    return RuntimeVersionMetadata.from_local_component("concilium").package_version


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _node(info: NodeInfo, calls: Mapping[str, float]) -> RegisteredNode:
    called_at = calls.get(name_of(info.public_key))
    key: Any = load_pem_public_key(info.public_key)
    return RegisteredNode(
        name=info.name,
        node_id=str(info.node_id),
        public_key=key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
        status=info.status,
        last_seen=_last_seen(info),
        since=_time(info.last_activated_at if info.status == "online" else info.last_deactivated_at),
        last_call=None if called_at is None else datetime.fromtimestamp(called_at, UTC),
    )


def _last_seen(info: NodeInfo) -> datetime | None:
    if info.status == "online":
        lasts_s = HEARTBEAT_PATIENCE * info.heartbeat_interval
        return min(datetime.fromtimestamp(info.online_until - lasts_s, UTC), datetime.now(UTC))
    return _time(info.last_deactivated_at or info.last_activated_at)


def _run(run: run_pb2.Run) -> Run:
    status = run.status
    return Run(
        run_id=str(run.run_id),
        status=f"{status.status}:{status.sub_status}" if status.sub_status else status.status,
        details=status.details,
        bundle_sha256=run.fab_hash,
        pending_at=_time(run.pending_at),
        running_at=_time(run.running_at),
        finished_at=_time(run.finished_at),
    )


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
