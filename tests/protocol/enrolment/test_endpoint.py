"""What is an endpoint and what is not."""

import pytest

from protocol.enrolment.endpoint import host_and_port


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("fed.example.org:443", ("fed.example.org", 443)),
        ("10.0.0.1:8443", ("10.0.0.1", 8443)),
        ("[fd00::1]:443", ("fd00::1", 443)),
    ],
)
def test_an_endpoint_is_a_host_and_a_port(endpoint: str, expected: tuple[str, int]) -> None:
    assert host_and_port(endpoint) == expected


@pytest.mark.parametrize(
    "endpoint", ["fed.example.org", ":443", "a b:443", "https://a:443", "fd00::1:443", "a:0", "a:70000", "a;b:443", ""]
)
def test_anything_else_is_no_endpoint(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|1 to 65535"):
        host_and_port(endpoint)
