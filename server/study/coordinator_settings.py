"""The coordinator's own settings, `coordinator.toml`: where centers reach it and what they run there.

`study init` writes the file once. A person may correct it: a new endpoint needs a new server certificate
(`concilium certificate --renew`), and centers that hold a kit with the old one need to be told.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import tomli_w
from pydantic import Field, ValidationError

from protocol.enrolment.endpoint import Endpoint, host_and_port
from protocol.errors import StudyError
from protocol.messages.base import Settings
from protocol.messages.settings import findings
from protocol.storage.atomic_files import write_text
from protocol.storage.parsed_text import UnreadableTextError, read_toml

FORMER = ("link_port",)
"""Settings of earlier versions, which mean nothing any more."""


class CoordinatorSettings(Settings):
    """Settings of one coordinator.

    consortium: the name that kits and certificates carry. endpoint: "host:port" that centers reach, the proxy's.
    image: reference of the client image. authority: folder with the certificate authority's key, outside of the study's
    directory; empty where it lies in ROOT/authority, as earlier versions made it.
    """

    consortium: Annotated[str, Field(min_length=1, max_length=200)]
    endpoint: Endpoint
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
        there = read_toml(path)
        return CoordinatorSettings.model_validate({name: there[name] for name in there if name not in FORMER})
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
