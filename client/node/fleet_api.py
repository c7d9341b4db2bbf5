"""Signed calls to the coordinator's Fleet API, with Flower's own client.

The SuperNode makes the same calls for the federation itself. Here are the two that it does not make: is this key
accepted, and is this run still wanted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import httpx
from cryptography.hazmat.primitives.asymmetric import ec

from protocol.flower_internals import (
    VERSION_INCOMPATIBILITY_MESSAGE_METADATA_KEY,
    ActivateNodeRequest,
    ApiErrorCode,
    DeactivateNodeRequest,
    FleetHttpClient,
    FlowerError,
    GetRunRequest,
    Node,
    NodeAuthHttpInterceptor,
    ProtobufCall,
    ProtobufRequestContext,
    RuntimeVersionMetadata,
    add_headers,
    public_key_to_bytes,
)

HEARTBEAT_INTERVAL_S = 30.0
NO_RUN = 1
Standing = Literal["accepted", "online", "unknown", "refused", "down"]
"""accepted: the key is registered and not connected. online: it is connected now. unknown: no node has this key, or
the node is connected and this home was never told its number. refused: the signature or its time was not accepted.
down: something answers in the coordinator's place."""


class _Versions:
    """Tells the coordinator this Flower's version and keeps what it says when its own differs."""

    def __init__(self) -> None:
        self.warning = ""

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        """Pass the call on with the version's headers."""
        add_headers(context.request, dict(RuntimeVersionMetadata.from_local_component("SuperNode").as_metadata()))
        response = call_next(context)
        self.warning = response.headers.get(VERSION_INCOMPATIBILITY_MESSAGE_METADATA_KEY, self.warning)
        return response


class FleetApi:
    """The coordinator, seen by one key; make it with `fleet_api`."""

    def __init__(self, client: FleetHttpClient, public_key: bytes, versions: _Versions) -> None:
        self._client, self._public_key, self._versions = client, public_key, versions

    @property
    def version_warning(self) -> str:
        """What the coordinator's Flower said about this Flower's version; empty where they agree."""
        return self._versions.warning

    def standing(self, known_id: int = 0) -> tuple[Standing, int]:
        """Where this key stands, and the node's number (0 where it is not known).

        A node that is connected is left as it is: Flower refuses to activate it again. One that is not is activated
        and at once deactivated, since nothing else tells its number.

        Args:
            known_id: the number this home was told earlier, 0 for none.

        Raises:
            httpx.TransportError: no contact.
        """
        try:
            request = ActivateNodeRequest(public_key=self._public_key, heartbeat_interval=HEARTBEAT_INTERVAL_S)
            number = int(self._client.ActivateNode(request).node_id)
        except httpx.HTTPStatusError as error:
            return self._standing_of(error, known_id)
        self._client.DeactivateNode(DeactivateNodeRequest(node_id=number))
        return "accepted", number

    def is_run_over(self, run_id: int, node_id: int) -> bool:
        """Whether the coordinator has stopped or finished a run; False where it does not say so.

        Raises:
            httpx.TransportError: no contact.
        """
        try:
            self._client.GetRun(GetRunRequest(node=Node(node_id=node_id), run_id=run_id))
        except httpx.HTTPStatusError as error:
            return _code(error) == ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED
        return False

    def _standing_of(self, error: httpx.HTTPStatusError, known_id: int) -> tuple[Standing, int]:
        if error.response.status_code == httpx.codes.UNAUTHORIZED:
            return "refused", known_id
        if _code(error) != ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED:
            return "down", known_id
        return ("online" if known_id and self._is_mine(known_id) else "unknown"), known_id

    def _is_mine(self, node_id: int) -> bool:
        """Whether a node of this number has this key; asked with a call that changes nothing."""
        try:
            self._client.GetRun(GetRunRequest(node=Node(node_id=node_id), run_id=NO_RUN))
        except httpx.HTTPStatusError as error:
            return error.response.status_code != httpx.codes.UNAUTHORIZED
        return True


@contextmanager
def fleet_api(endpoint: str, authority_pem: bytes, key: ec.EllipticCurvePrivateKey) -> Iterator[FleetApi]:
    """A connection to the coordinator that signs every call with `key`; it goes through the proxy that is set."""
    versions = _Versions()
    client = FleetHttpClient.from_server_address(
        server_address=endpoint,
        insecure=False,
        root_certificates=authority_pem,
        interceptors=[versions, NodeAuthHttpInterceptor(key, key.public_key())],
    )
    with client:
        yield FleetApi(client, public_key_to_bytes(key.public_key()), versions)


def _code(error: httpx.HTTPStatusError) -> int:
    found = FlowerError.from_json(error.response.text)
    return found.code if found else 0
