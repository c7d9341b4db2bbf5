"""Where a coordinator is reached: "host:port"."""

import re
from typing import Annotated

from pydantic import AfterValidator

PATTERN = re.compile(
    r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?)):(?P<port>[0-9]{1,5})"
)


def host_and_port(endpoint: str) -> tuple[str, int]:
    """Host and port of "host:port"; an IPv6 address stands in brackets there and without them in the result.

    Raises:
        ValueError: it is not of that form.
    """
    found = PATTERN.fullmatch(endpoint)
    if not found:
        raise ValueError(f"'{endpoint}' is not of the form HOST:PORT, such as concilium.example.org:443")
    if not 0 < int(found["port"]) < 65536:
        raise ValueError(f"'{endpoint}' names port {found['port']}, expected 1 to 65535")
    return found["address"] or found["name"], int(found["port"])


def _check_endpoint(text: str) -> str:
    host_and_port(text)
    return text


Endpoint = Annotated[str, AfterValidator(_check_endpoint)]
