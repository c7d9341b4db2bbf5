"""A center's home: which file lies where, and the two small files that say whose home it is.

center.toml        the center's own settings, with a seal; they never leave
node/              the network side: no data, no model
  agreement.json   the kit without its token
  ca.crt           what the coordinator's certificate must be signed by
  key              the private key, OpenSSH, mode 0600; key.next: a new one that the coordinator has not accepted yet;
                   key.former: that of an earlier kit, since a coordinator takes no key twice
  node_id          the number the coordinator knows the key by; exists once the key was accepted
  runtime.sock     where the SuperNode's own programs ask it; the account's alone, as every socket here
  superexec.secret what SuperNode and SuperExec know each other by
  accepted_bundles.json   the Flower bundles that may be used here, by SHA-256
  bin/             all of SuperExec's PATH; flwr/: Flower's own folder, FLWR_HOME
trainer/           the data side: no network; agreement.json: what it holds the coordinator to
run/               what both share; trainer.sock: where the trainer listens
CENTER.answer      what the coordinator gets: a public key and a proof
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tomli_w
from pydantic import AwareDatetime, Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from client.home.agreement import MAXIMUM_QUERIES, MAXIMUM_STEPS
from client.home.limits import MAXIMUM_BATCH, MAXIMUM_HOURS
from client.home.own_privacy import OwnPrivacy
from client.home.privacy import close_to_others
from protocol.enrolment.kit import Kit, StudyAgreement
from protocol.errors import ConciliumError, StorageError
from protocol.messages.base import Fraction, Settings
from protocol.modalities import IMAGES, Modality
from protocol.storage.atomic_files import make_private_folder, write_private_text
from protocol.storage.locks import hold_lock
from protocol.storage.parsed_text import UnreadableTextError, read_toml
from protocol.storage.paths import Below
from protocol.storage.regular_files import read_whole
from protocol.storage.sealed_json import seal, unseal_if_sealed

DEFAULT_PORT = 9094
DEFAULT_MINIMUM_CASES = 5


class HomeError(ConciliumError):
    """A home that is another center's or study's, is in use, or is not whole."""

    code = "home"


class CenterSettings(Settings):
    """What the center decides for itself.

    center: its name. data: folders with one folder per case. minimum_cases: fewest cases behind what leaves.
    maximum_steps, maximum_batch, maximum_hours, maximum_memory: what an instruction may take at most, in local steps a
    round, crops a step, hours and GiB; 0 GiB is what the device has (`client.home.limits`).
    maximum_queries: most questions about figures that are ever answered on the center's data.
    privacy: what it guarantees its patients whatever a study asks for; None what the study does.
    maximum_attack_auc: of a loss-threshold attack on a candidate, above which the center does not compare it; 0: no
    attack.
    port: the loopback port after it answers health probes; itself it is not used any more.
    """

    center: str = ""
    data: tuple[Path, ...]
    modalities: Annotated[tuple[Modality, ...], Field(min_length=1)] = IMAGES
    device: Literal["auto", "cpu", "cuda"] = "auto"
    minimum_cases: PositiveInt = DEFAULT_MINIMUM_CASES
    maximum_steps: PositiveInt = MAXIMUM_STEPS
    maximum_queries: PositiveInt = MAXIMUM_QUERIES
    maximum_batch: PositiveInt = MAXIMUM_BATCH
    maximum_hours: PositiveFloat = MAXIMUM_HOURS
    maximum_memory: NonNegativeFloat = 0.0
    privacy: OwnPrivacy | None = None
    maximum_attack_auc: Fraction = 0.0
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

    settings = Below("center.toml")
    node = Below("node")
    trainer = Below("trainer")
    run = Below("run")
    socket = Below("run", "trainer.sock")
    agreement = Below("node", "agreement.json")
    trainer_agreement = Below("trainer", "agreement.json")
    key = Below("node", "key")
    next_key = Below("node", "key.next")
    former_key = Below("node", "key.former")
    authority = Below("node", "ca.crt")
    node_id = Below("node", "node_id")
    api = Below("node", "runtime.sock")
    secret = Below("node", "superexec.secret")
    bundles = Below("node", "accepted_bundles.json")
    commands = Below("node", "bin")
    flower = Below("node", "flwr")

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
                make_private_folder(folder)
        except StorageError as error:
            raise HomeError(f"home {self.root} cannot be made: {error}; choose another --home") from error


def read_settings(home: CenterHome) -> CenterSettings:
    """The center's own settings.

    Raises:
        HomeError: no such file, or a value that is not as expected.
    """
    try:
        content = json.dumps(read_toml(home.settings), default=str)
        return CenterSettings.model_validate(unseal_if_sealed(content.encode()))
    except OSError as error:
        raise HomeError(
            f"{home.settings} cannot be read ({error.strerror}); join first: `concilium-center join KIT --data DIR "
            f"--home {home.root}`"
        ) from error
    except (ValidationError, UnreadableTextError) as error:
        raise HomeError(f"{home.settings} is not as expected ({error}); correct it or join again") from error
    except ValueError as error:
        raise HomeError(
            f"{home.settings} is not as `join` wrote it ({error}); undo the change, give it as an option to `join`, or "
            "remove the line that begins with seal where you mean it"
        ) from error


def write_settings(home: CenterHome, settings: CenterSettings) -> None:
    """Keep the center's own settings.

    Raises:
        StorageError: the disk refuses.
    """
    sealed = json.loads(seal(settings.model_dump(mode="json", exclude_none=True)))
    write_private_text(home.settings, tomli_w.dumps(sealed))


def read_membership(home: CenterHome) -> Membership:
    """Whom the home belongs to and what was agreed.

    Raises:
        HomeError: no such file, or it is damaged.
    """
    try:
        return Membership.model_validate_json(json.dumps(unseal_if_sealed(read_whole(home.agreement))))
    except OSError as error:
        raise HomeError(
            f"{home.agreement} cannot be read ({error.strerror}); join first: `concilium-center join KIT --data DIR "
            f"--home {home.root}`"
        ) from error
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, found["loc"])) or "the text" for found in error.errors()}))
        raise HomeError(
            f"{home.agreement} is not as `concilium-center join` writes it: {fields}; join again with the kit, or with "
            "a new one where an earlier version of concilium wrote it"
        ) from error
    except ValueError as error:
        raise HomeError(f"{home.agreement} is damaged ({error}); join again with the kit") from error


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
            f"home {home.root} has joined with a kit of {found.issued_at:%Y-%m-%d %H:%M:%S} UTC, this one is of "
            f"{kit.issued_at:%Y-%m-%d %H:%M:%S}, before it; use the newer one, or none"
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
    make_private_folder(home.node)
    close_to_others(home.root)
    in_use = HomeError(
        f"home {home.root} is in use: another `concilium-center` runs on it; stop that one, or give --home another "
        "folder"
    )
    with hold_lock(home.node / "instance.lock", mode=0o600, otherwise=lambda _held: in_use):
        yield
