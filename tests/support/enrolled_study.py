"""A coordinator's directory made without torch, a register that behaves as Flower's, and centers that answer kits."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocol.enrolment.answer import RENEWAL, EnrolmentAnswer, answer_bytes, token_proof, write_answer
from protocol.enrolment.kit import read_kit
from protocol.errors import LaunchError
from protocol.messages.tensors import TensorSpec, write_specs
from server.centers.enrolment import Enrolment
from server.centers.federation_init import init_federation
from server.study.coordinator_settings import CoordinatorSettings
from server.study.directory import StudyDirectory
from server.superlink.link import RegisteredNode
from tests.support.listed_link import ListedLink
from tests.support.study_text import NETWORK, centers_text, stage_text

NAMES = ("center-a", "center-d")
STUDY = (
    'name = "small"\ntitle = "A small study"\nformed_by = "two centers of a test"\n'
    + NETWORK
    + centers_text(NAMES, {"center-d": 'modalities = ["ct"]'})
    + stage_text("pretrain", NAMES, kind="pretrain", rounds=2)
    + stage_text("adapt", NAMES, rounds=2, local_steps=4)
)
SPECS = (
    TensorSpec("stem.weight", "backbone", (4, 2)),
    TensorSpec("pet_embedding.weight", "pet", (3, 2)),
    TensorSpec("fuse.weight", "fusion", (5,)),
    TensorSpec("qkv#lora_a", "peft", (2, 4)),
    TensorSpec("qkv#lora_b", "peft", (6, 2)),
    TensorSpec("qkv#magnitude", "peft", (6,)),
)
COORDINATOR = CoordinatorSettings(consortium="Test consortium", endpoint="fed.example.org:443", image="client:1")


def write_coordinator_directory(root: Path, coordinator: CoordinatorSettings = COORDINATOR) -> StudyDirectory:
    """The small study, prepared but for its tensors, with authority and certificate."""
    directory = StudyDirectory(root)
    root.mkdir()
    directory.study_file.write_text(STUDY)
    write_specs(root / "tensors.json", SPECS)
    init_federation(directory, coordinator)
    return directory


@dataclass
class Clock:
    """The time, which a test moves."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def pass_days(self, days: float) -> None:
        self.now += timedelta(days=days)


class Register(ListedLink):
    """A SuperLink's register in memory; like Flower's, it takes no key twice, not even one that was turned away.

    refusing: names of centers whose keys it takes neither in nor out.
    """

    def __init__(self, *, down: bool = False) -> None:
        super().__init__()
        self.keys: set[str] = set()
        self.refusing: set[str] = set()
        self.down = down

    def register(self, public_key_openssh: str, name: str) -> str:
        self._answer(name)
        if public_key_openssh in self.keys:
            raise LaunchError("Public key already in use")
        self.keys.add(public_key_openssh)
        node_id = str(100 + len(self.keys))
        self.registered.append(RegisteredNode(name, node_id, public_key_openssh, "registered", None))
        return node_id

    def unregister(self, node_id: str) -> None:
        self._answer(*(node.name for node in self.registered if node.node_id == node_id))
        super().unregister(node_id)

    def nodes(self) -> tuple[RegisteredNode, ...]:
        self._answer()
        return super().nodes()

    @property
    def names(self) -> list[str]:
        return sorted(node.name for node in self.registered)

    def _answer(self, *names: str) -> None:
        if self.down:
            raise LaunchError("the SuperLink does not answer")
        if self.refusing & set(names):
            raise LaunchError("the SuperLink refuses")


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def openssh(key: ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def answer_to(kit_file: Path, key: ec.EllipticCurvePrivateKey, **changed: str) -> Path:
    """What a center sends back; `changed` fields are changed after the proof was made."""
    kit, _ = read_kit(kit_file)
    content = {"center": kit.center, "study": kit.agreement.study, "serial": kit.serial, "public_key": openssh(key)}
    return _written(kit_file, {**content, "proof": token_proof(kit.token, answer_bytes(**content)), **changed})


def renewal_answer(
    kit_file: Path, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, study: str = "small"
) -> Path:
    """What a center sends that replaces its key."""
    center = kit_file.stem
    content = {"center": center, "study": study, "serial": RENEWAL, "public_key": openssh(key)}
    return _written(
        kit_file, {**content, "proof": signer.sign(answer_bytes(**content), ec.ECDSA(hashes.SHA384())).hex()}
    )


def enroll(enrolment: Enrolment, register: Register, centers: Iterable[str]) -> dict[str, ec.EllipticCurvePrivateKey]:
    """Invite centers and accept their answers; gives their keys."""
    keys = {}
    for center in centers:
        keys[center] = new_key()
        enrolment.accept(answer_to(enrolment.invite(center), keys[center]), register)
    return keys


def _written(kit_file: Path, content: dict[str, str]) -> Path:
    path = kit_file.with_suffix(".answer")
    write_answer(path, EnrolmentAnswer.model_validate(content))
    return path
