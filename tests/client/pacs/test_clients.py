"""Each kind of server file has something that speaks with it."""

from typing import get_args

import pytest

from client.pacs.clients import CLIENTS, connect
from client.pacs.settings import DicomwebServer, DimseServer, Server


def test_every_kind_of_server_has_a_client() -> None:
    kinds = {get_args(one.model_fields["kind"].annotation)[0] for one in get_args(Server)}
    assert kinds == CLIENTS.keys()


@pytest.mark.parametrize(
    ("server", "name"),
    [
        (DicomwebServer(kind="dicomweb", url="https://pacs.example/rs"), "PACS https://pacs.example/rs"),
        (DimseServer(kind="dimse", host="pacs", port=104, title="P", our_title="U"), "PACS P@pacs:104"),
    ],
)
def test_nothing_is_sent_before_something_is_asked(server: Server, name: str) -> None:
    with connect(server) as client:
        assert client.name == name
