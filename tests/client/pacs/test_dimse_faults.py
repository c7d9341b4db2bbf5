"""Files that are no certificates, and connections that fail before DICOM begins."""

from pathlib import Path

import pytest

from client.pacs.contract import PacsSilentError
from client.pacs.dimse_faults import open_tls, reach
from client.pacs.settings import DimseServer
from protocol.errors import PacsError
from tests.support.loopback import free_port, write_certificates


def server(**changed: object) -> DimseServer:
    said = {"kind": "dimse", "host": "127.0.0.1", "port": 104, "title": "P", "our_title": "U", "tls": True}
    return DimseServer.model_validate({**said, "timeout_s": 2, **changed})


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("no certificate")
    with pytest.raises(PacsError, match="expected PEM files"):
        open_tls(server(authority=tmp_path / "ca.crt"))


def test_our_certificate_is_shown_where_the_file_names_one(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    context = open_tls(
        server(authority=tmp_path / "ca.crt", certificate=tmp_path / "server.pem", key=tmp_path / "server.key")
    )
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1


def test_a_port_where_nobody_listens_may_be_asked_again() -> None:
    with pytest.raises(PacsSilentError, match="Connection refused"):
        reach(server(port=free_port()), "PACS P")
