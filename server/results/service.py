"""Which centers of a study are served what they trained alone: `service.json` of the study's directory, sealed.

    {"centers": [one `Service` each]}

Written where centers were trained alone beside a study; `result.json` and the report repeat it at every later end of a
run. Differences are of what federation serves minus what the center trained alone.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from protocol.errors import StudyError
from protocol.modalities import ModalitySetting
from protocol.storage.atomic_files import write_private
from protocol.storage.regular_files import read_whole
from protocol.storage.sealed_json import seal, unseal
from protocol.tasks import TaskName


@dataclass(frozen=True)
class OnValidation:
    """Primary metric of a task on the center's validation cases, each under its fullest setting: what decides.

    bound: the upper one of the difference (`strategies.continual.own_adapter`).
    """

    task: TaskName
    cases: int
    federated: float | None
    alone: float | None
    difference: float | None
    standard_error: float | None
    bound: float | None


@dataclass(frozen=True)
class OnTest:
    """Primary metric of the first task on the center's test cases, under its fullest setting: what is only told."""

    setting: ModalitySetting
    cases: int
    federated: float | None
    alone: float | None
    difference: float | None


@dataclass(frozen=True)
class Service:
    """What one center is served.

    better_alone: what the validation cases decided, and reason, in words.
    own, adapter: whether what it trained alone is in use, and the reference of what is; a rollback by hand stands.
    federated_sha256, alone_sha256: content hashes of what was compared; the second is "" where nothing was trained.
    """

    center: str
    better_alone: bool
    own: bool
    adapter: str
    reason: str
    validation: tuple[OnValidation, ...]
    test: OnTest | None
    federated_sha256: str
    alone_sha256: str

    @property
    def is_decided(self) -> bool:
        """Whether validation cases could tell, in each task, which of the two is better."""
        return bool(self.validation) and all(found.bound is not None for found in self.validation)


SERVICES = TypeAdapter(tuple[Service, ...])


def write_services(path: Path, services: Sequence[Service]) -> None:
    """Replace `service.json`.

    Raises:
        StorageError: the disk refuses; the previous file is untouched.
    """
    write_private(path, seal({"centers": [asdict(service) for service in services]}))


def read_services(path: Path) -> tuple[Service, ...]:
    """What `write_services` wrote; nothing where there is no such file.

    Raises:
        StudyError: the file is damaged.
    """
    try:
        return SERVICES.validate_python(unseal(read_whole(path))["centers"])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise StudyError(
            f"{path} is damaged ({error}); remove it, and `concilium simulate --against-local-only --resume` decides "
            "again"
        ) from error
