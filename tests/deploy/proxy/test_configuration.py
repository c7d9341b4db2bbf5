"""The proxy's configuration: every blank filled, no path that nginx would misread, folders made."""

import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.proxy.configuration import TEMPORARY, Proxy
from protocol.errors import LaunchError


def test_path_that_nginx_cannot_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="cannot stand in nginx's configuration"):
        Proxy("*:1", tmp_path, tmp_path / "a;b", tmp_path, tmp_path, tmp_path, tmp_path).text()


@pytest.fixture
def proxy(tmp_path: Path) -> Proxy:
    return Proxy(
        listen="*:8443",
        upstream=tmp_path / "link.sock",
        certificate=tmp_path / "certificate",
        key=tmp_path / "key",
        authority=tmp_path / "authority",
        folder=tmp_path / "run",
        access_log=tmp_path / "logs" / "access.log",
    )


def test_every_blank_is_filled_with_its_own_value(proxy: Proxy) -> None:
    text = proxy.text()
    assert not re.findall(r"@[A-Z_]+@", text)
    assert "listen *:8443" in text
    assert f"ssl_certificate {proxy.certificate};" in text.replace('"', "")
    assert f'server "unix:{proxy.upstream}"' in text


def test_roots_workers_are_another_accounts(proxy: Proxy) -> None:
    assert replace(proxy, account="www-data").text() == f"user www-data;\n{proxy.text()}"


def test_the_folders_that_nginx_writes_to_are_made_and_its_own_are_private(proxy: Proxy) -> None:
    path = proxy.write()
    assert path.read_text() == proxy.text()
    assert proxy.access_log.parent.is_dir()
    assert {stat.S_IMODE((proxy.folder / name).stat().st_mode) for name in TEMPORARY} == {0o700}
