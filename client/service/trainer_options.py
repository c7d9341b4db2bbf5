"""How a trainer is set up: from its command line, and from the center's home where there is one."""

from dataclasses import dataclass
from pathlib import Path

from client.data.manifest import Modality
from client.home.agreement import MAXIMUM_STEPS
from client.home.center_home import DEFAULT_MINIMUM_CASES, CenterHome, HomeError, read_settings


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
    agreement: Path | None


def trainer_options(
    home: Path,
    *,
    center: str | None = None,
    data: Path | None = None,
    socket: Path | None = None,
    modalities: tuple[Modality, ...] | None = None,
    device: str | None = None,
    minimum_cases: int | None = None,
    maximum_steps: int | None = None,
    agreement: Path | None = None,
) -> TrainerOptions:
    """What the command line says, over what the home says, over the defaults.

    A home made by `concilium-center join` has a `center.toml` and keeps the trainer's files in `trainer/`; any other
    folder is the trainer's own, and the command line says everything.

    Raises:
        HomeError: the home's settings are damaged, or neither says who, which data or which socket.
    """
    joined = CenterHome(home.absolute())
    if joined.settings.exists():
        kept = read_settings(joined)
        return TrainerOptions(
            center or kept.center,
            (data,) if data else kept.data,
            modalities or kept.modalities,
            joined.trainer,
            socket or joined.socket,
            _present(device or kept.device),
            minimum_cases or kept.minimum_cases,
            maximum_steps or kept.maximum_steps,
            agreement or joined.trainer_agreement,
        )
    if center is None or data is None or socket is None:
        raise HomeError(
            f"home {home} has no center.toml: give --center, --data and --socket, or the home that `concilium-center "
            "join` made"
        )
    chosen = _present(device or "cpu")
    return TrainerOptions(
        center,
        (data,),
        modalities or ("ct", "pet"),
        home,
        socket,
        chosen,
        minimum_cases or DEFAULT_MINIMUM_CASES,
        maximum_steps or MAXIMUM_STEPS,
        agreement,
    )


def _present(device: str) -> str:
    """The device, or for "auto" the one that is there."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
