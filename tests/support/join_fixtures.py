"""Fixtures of the tests of joining: no proxy of this machine, a certificate, a coordinator without a fault.

A conftest that imports them gives them to the tests of its folder.
"""

from collections.abc import Iterator

import pytest

from tests.support.coordinator_stand_in import PROXY_VARIABLES, Certified, server


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return Certified(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def coordinator(certified: Certified) -> Iterator[int]:
    """A coordinator without a fault; nothing behind it answers."""
    with server(certified.key, certified.certificate) as port:
        yield port
