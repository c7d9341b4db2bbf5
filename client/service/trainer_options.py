"""How a trainer is set up: from its command line, and from the center's home where there is one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from client.home.agreement import MAXIMUM_QUERIES, MAXIMUM_STEPS
from client.home.center_home import DEFAULT_MINIMUM_CASES, CenterHome, HomeError, read_settings
from client.home.limits import MAXIMUM_BATCH, MAXIMUM_HOURS, WorkLimits
from client.home.own_privacy import OwnPrivacy
from protocol.modalities import IMAGES, Modality


@dataclass(frozen=True)
class TrainerOptions:
    """All that a trainer needs to know; `agreement` None takes instructions of any study."""

    center: str
    data: tuple[Path, ...]
    modalities: tuple[Modality, ...]
    home: Path
    socket: Path
    device: str
    minimum_cases: int
    maximum_steps: int
    maximum_queries: int
    maximum_batch: int
    maximum_hours: float
    maximum_memory: float
    maximum_attack_auc: float
    agreement: Path | None
    privacy: OwnPrivacy | None

    @property
    def limits(self) -> WorkLimits:
        """What an instruction may take, its steps aside."""
        return WorkLimits(self.maximum_batch, self.maximum_hours, self.maximum_memory)


class CommandLine(TypedDict, total=False):
    """What a command line may say of them."""

    center: str | None
    data: Path | None
    socket: Path | None
    modalities: tuple[Modality, ...] | None
    device: str | None
    minimum_cases: int | None
    maximum_steps: int | None
    maximum_queries: int | None
    maximum_batch: int | None
    maximum_hours: float | None
    maximum_memory: float | None
    maximum_attack_auc: float | None
    agreement: Path | None
    privacy: OwnPrivacy | None


def trainer_options(home: Path, **command_line: Unpack[CommandLine]) -> TrainerOptions:
    """What the command line says, over what the home says, over the defaults.

    A home made by `concilium-center join` has a `center.toml` and keeps the trainer's files in `trainer/`; any other
    folder is the trainer's own, and the command line says everything.

    Raises:
        HomeError: the home's settings are damaged, or neither says who, which data or which socket.
    """
    said: dict[str, Any] = {name: value for name, value in command_line.items() if value}
    if "data" in said:
        said["data"] = (said["data"],)
    joined = CenterHome(home.absolute())
    options = _defaults(home) | (_read_home(joined) if joined.settings.exists() else {}) | said
    missing = [f"--{name}" for name in ("center", "data", "socket") if name not in options]
    if missing:
        raise HomeError(
            f"home {home} has no center.toml: give {' and '.join(missing)}, or the home that `concilium-center join` "
            "made"
        )
    return TrainerOptions(**options | {"device": _present(options["device"])})


def _defaults(home: Path) -> dict[str, Any]:
    return {
        "modalities": IMAGES,
        "home": home,
        "device": "cpu",
        "minimum_cases": DEFAULT_MINIMUM_CASES,
        "maximum_steps": MAXIMUM_STEPS,
        "maximum_queries": MAXIMUM_QUERIES,
        "maximum_batch": MAXIMUM_BATCH,
        "maximum_hours": MAXIMUM_HOURS,
        "maximum_memory": 0.0,
        "maximum_attack_auc": 0.0,
        "agreement": None,
        "privacy": None,
    }


def _read_home(joined: CenterHome) -> dict[str, Any]:
    """What a center that joined a federation keeps in its home."""
    kept = read_settings(joined)
    return kept.model_dump(include=set(CommandLine.__annotations__)) | {
        "privacy": kept.privacy,
        "home": joined.trainer,
        "socket": joined.socket,
        "agreement": joined.trainer_agreement,
    }


def _present(device: str) -> str:
    """The device, or for "auto" the one that is there."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
