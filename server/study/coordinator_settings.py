"""The coordinator's own settings, `coordinator.toml`: where centers reach it and what they run there.

`study init` writes the file once. A person may correct it: a new endpoint needs a new server certificate
(`concilium certificate --renew`), and centers that hold a kit with the old one need to be told.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import tomli_w
from pydantic import Field, ValidationError, model_validator

from protocol.enrolment.endpoint import Endpoint, host_and_port
from protocol.errors import StudyError
from protocol.messages.base import Settings
from protocol.messages.settings import findings
from protocol.storage.atomic_files import write_text
from protocol.storage.parsed_text import UnreadableTextError, read_toml

LINK_PORT = 8443
Port = Annotated[int, Field(ge=1, le=65535)]


class CoordinatorSettings(Settings):
    """Settings of one coordinator.

    consortium: the name that kits and certificates carry. endpoint: "host:port" that centers reach, the proxy's.
    link_port: port on loopback where the SuperLink listens. image: reference of the client image. authority: folder
    of a certificate authority that several studies share; empty where the study has one of its own.
    """

    consortium: Annotated[str, Field(min_length=1, max_length=200)]
    endpoint: Endpoint
    link_port: Port = LINK_PORT
    image: Annotated[str, Field(min_length=1)]
    authority: str = ""

    @property
    def host(self) -> str:
        """Name or address under which centers reach the coordinator."""
        return host_and_port(self.endpoint)[0]

    @property
    def port(self) -> int:
        """Port under which centers reach the coordinator."""
        return host_and_port(self.endpoint)[1]

    @model_validator(mode="after")
    def _two_ports(self) -> "CoordinatorSettings":
        if self.port == self.link_port:
            raise ValueError(
                f"endpoint and link_port both name port {self.port}: the proxy listens on the first and passes on to "
                "the second; give another --link-port"
            )
        return self


def free_link_port(endpoint: str) -> int:
    """The usual port of the SuperLink, or the next one where the endpoint has that."""
    return LINK_PORT + (host_and_port(endpoint)[1] == LINK_PORT)


def client_image() -> str:
    """The client image of the version that runs here, as `deploy` builds it."""
    return f"localhost/concilium-client:{version('concilium')}"


def write_coordinator(path: Path, coordinator: CoordinatorSettings) -> None:
    """Write the settings as TOML.

    Raises:
        StorageError: the disk refuses.
    """
    write_text(path, tomli_w.dumps(coordinator.model_dump(mode="json")))


def read_coordinator(path: Path) -> CoordinatorSettings:
    """Read what `write_coordinator` wrote, or a person corrected.

    Raises:
        StudyError: the file is missing, is not TOML, or holds an unknown key or a wrong value.
    """
    try:
        return CoordinatorSettings.model_validate(read_toml(path))
    except FileNotFoundError as error:
        raise StudyError(
            f"{path} does not exist: {path.parent} is no coordinator's directory. Make one with `concilium study init "
            "FILE --out ROOT --endpoint HOST:PORT`, or give its path"
        ) from error
    except (OSError, UnreadableTextError) as error:
        raise StudyError(f"{path} cannot be read ({error}); correct it or restore it from a backup") from error
    except ValidationError as error:
        found = "\n  ".join(findings(error))
        raise StudyError(f"{path} has {error.error_count()} problem(s):\n  {found}") from error
