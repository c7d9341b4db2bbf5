"""Small DICOM servers on loopback that do what a real PACS does on its bad days."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context


@contextmanager
def dicom_peer(contexts: Sequence[str], handlers: Sequence[Any], title: str = "PEER") -> Iterator[int]:
    """The port of a server that offers some SOP classes, for the length of a block."""
    entity = AE(ae_title=title)
    entity.supported_contexts = [build_context(uid) for uid in contexts]
    for context in entity.supported_contexts:
        context.scp_role, context.scu_role = True, True
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=list(handlers))
    assert server is not None
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()


def answer_with(status: int, comment: str = "") -> Any:
    """A handler of C-FIND or C-GET that gives up at once."""

    def handle(event: evt.Event) -> Iterator[Any]:
        del event
        said = Dataset()
        said.Status = status
        if comment:
            said.ErrorComment = comment
        yield said, None

    return handle


def never_answer(event: evt.Event) -> Iterator[Any]:
    """A handler that keeps the client waiting."""
    ends_at = time.monotonic() + 5
    while event.assoc.is_established and time.monotonic() < ends_at:
        time.sleep(0.05)
    yield 0xFE00, None
