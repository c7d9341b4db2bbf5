"""A center's home: which file lies where, and the two small files that say whose home it is.

center.toml        the center's own settings; they never leave
node/              the network side: no data, no model
trainer/           the data side: no network
run/               the socket between the two
CENTER.answer      what the coordinator gets: a public key and a proof
"""

import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tomli_w
from pydantic import AwareDatetime, Field, PositiveInt, ValidationError

from client.home.agreement import MAXIMUM_STEPS
from protocol.enrolment.kit import Kit, StudyAgreement
from protocol.errors import ConciliumError
from protocol.messages.settings import Settings
from protocol.storage.atomic_files import write_text
from protocol.storage.locks import LockHeldError, hold_lock

DEFAULT_PORT = 9094
DEFAULT_MINIMUM_CASES = 5
PRIVATE_FOLDER = 0o700


class HomeError(ConciliumError):
    """A home that is another center's or study's, is in use, or is not whole."""

    code = "home"


class CenterSettings(Settings):
    """What the center decides for itself.

    center: its name. data: folders with one folder per case. minimum_cases: fewest cases behind what leaves.
    maximum_steps: most local steps a round may ask for.
    port: loopback port of the SuperNode's Runtime API; the one after it answers health probes.
    """

    center: str = ""
    data: tuple[Path, ...]
    modalities: Annotated[tuple[Literal["ct", "pet"], ...], Field(min_length=1)] = ("ct", "pet")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    minimum_cases: PositiveInt = DEFAULT_MINIMUM_CASES
    maximum_steps: PositiveInt = MAXIMUM_STEPS
    port: Annotated[int, Field(ge=1, le=65534)] = DEFAULT_PORT


class Membership(Settings):
    """A kit without its token: whom this home belongs to and what was agreed."""

    consortium: str
    center: str
    endpoint: str
    serial: str
    issued_at: AwareDatetime
    agreement: StudyAgreement


def membership_of(kit: Kit) -> Membership:
    """What stays of a kit."""
    return Membership.model_validate(kit.model_dump(include=set(Membership.model_fields)))


@dataclass(frozen=True)
class CenterHome:
    """Paths below one root."""

    root: Path

    @property
    def settings(self) -> Path:
        """The center's own settings."""
        return self.root / "center.toml"

    @property
    def node(self) -> Path:
        """The network side's folder."""
        return self.root / "node"

    @property
    def trainer(self) -> Path:
        """The data side's folder."""
        return self.root / "trainer"

    @property
    def run(self) -> Path:
        """The folder both sides share."""
        return self.root / "run"

    @property
    def socket(self) -> Path:
        """Where the trainer listens."""
        return self.run / "trainer.sock"

    @property
    def agreement(self) -> Path:
        """The kit without its token."""
        return self.node / "agreement.json"

    @property
    def trainer_agreement(self) -> Path:
        """What the trainer holds the coordinator to."""
        return self.trainer / "agreement.json"

    @property
    def key(self) -> Path:
        """The center's private key, OpenSSH, mode 0600."""
        return self.node / "key"

    @property
    def next_key(self) -> Path:
        """A new private key that the coordinator has not accepted yet."""
        return self.node / "key.next"

    @property
    def former_key(self) -> Path:
        """The private key of an earlier kit; a coordinator takes no key twice."""
        return self.node / "key.former"

    @property
    def authority(self) -> Path:
        """The certificate that the coordinator's must be signed by."""
        return self.node / "ca.crt"

    @property
    def node_id(self) -> Path:
        """The number the coordinator knows this center's key by; exists once the key was accepted."""
        return self.node / "node_id"

    @property
    def secret(self) -> Path:
        """What SuperNode and SuperExec know each other by."""
        return self.node / "superexec.secret"

    @property
    def bundles(self) -> Path:
        """The Flower bundles that may be used here, by SHA-256."""
        return self.node / "accepted_bundles.json"

    @property
    def commands(self) -> Path:
        """The folder that is all of SuperExec's PATH."""
        return self.node / "bin"

    @property
    def flower(self) -> Path:
        """Flower's own folder, FLWR_HOME."""
        return self.node / "flwr"

    def answer(self, center: str) -> Path:
        """The file for the coordinator."""
        return self.root / f"{center}.answer"

    def make_folders(self) -> None:
        """Make the folders, for their owner alone.

        Raises:
            HomeError: the file system refuses.
        """
        try:
            for folder in (self.root, self.node, self.trainer, self.run):
                folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        except OSError as error:
            raise HomeError(f"home {self.root} cannot be made ({error.strerror}); choose another --home") from error


def read_settings(home: CenterHome) -> CenterSettings:
    """The center's own settings.

    Raises:
        HomeError: no such file, or a value that is not as expected.
    """
    try:
        return CenterSettings.model_validate(tomllib.loads(home.settings.read_text(encoding="utf-8")))
    except OSError as error:
        raise HomeError(
            f"{home.settings} cannot be read ({error.strerror}); join first: `concilium-center join KIT --data DIR "
            f"--home {home.root}`"
        ) from error
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise HomeError(f"{home.settings} is not as expected ({error}); correct it or join again") from error


def write_settings(home: CenterHome, settings: CenterSettings) -> None:
    """Keep the center's own settings.

    Raises:
        StorageError: the disk refuses.
    """
    write_text(home.settings, tomli_w.dumps(settings.model_dump(mode="json")))


def read_membership(home: CenterHome) -> Membership:
    """Whom the home belongs to and what was agreed.

    Raises:
        HomeError: no such file, or it is damaged.
    """
    try:
        return Membership.model_validate_json(home.agreement.read_bytes())
    except OSError as error:
        raise HomeError(
            f"{home.agreement} cannot be read ({error.strerror}); join first: `concilium-center join KIT --data DIR "
            f"--home {home.root}`"
        ) from error
    except ValidationError as error:
        raise HomeError(
            f"{home.agreement} is damaged ({error.error_count()} field(s)); join again with the kit"
        ) from error


def check_same_owner(home: CenterHome, kit: Membership) -> None:
    """Refuse a home that was made for another consortium, study or center, or has joined with a newer kit.

    Raises:
        HomeError: names both.
    """
    if not home.agreement.exists():
        return
    found = read_membership(home)
    if found.issued_at > kit.issued_at:
        raise HomeError(
            f"home {home.root} has joined with a kit of {found.issued_at:%Y-%m-%d %H:%M} UTC, this one is of "
            f"{kit.issued_at:%Y-%m-%d %H:%M}; use the newer one, or none"
        )
    there, here = _owner(found), _owner(kit)
    if there != here:
        raise HomeError(f"home {home.root} belongs to {there}, this kit is for {here}; give --home another folder")


def _owner(membership: Membership) -> str:
    return f"center '{membership.center}' of study '{membership.agreement.study}' ({membership.consortium})"


@contextmanager
def only_instance(home: CenterHome) -> Iterator[None]:
    """Hold the home for one process, `join` or `node`, until the block ends or the process dies.

    Raises:
        HomeError: another process holds it.
    """
    for folder in (home.root, home.node):
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(hold_lock(home.node / "instance.lock", mode=0o600))
        except LockHeldError as error:
            raise HomeError(
                f"home {home.root} is in use: another `concilium-center` runs on it; stop that one, or give --home "
                "another folder"
            ) from error
        yield
