"""Trainers of four centers in one sum, phase by phase, each phase as a coordinator wants it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from client.learning.assembly import study_specs
from client.masking.masked_sums import MaskedSums
from client.node.sum_signing import sign_reply
from client.service.trainer import Trainer
from protocol.enrolment.roster import sign_roster
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.secure_aggregation import SecureAggregation
from protocol.messages.secure_sum import Contribution, Roster, SumAnswer, SumPlan, SumRequest, state_digest
from protocol.messages.settings import Model, StudySettings, Training
from protocol.messages.tensors import PEFT, PET, TensorSpec
from server.tls.authority import utc_now
from strategies.secure_sum.layout import layout_of
from tests.support.enrolled_study import new_key, openssh

CENTERS = "abcd"
NOTHING: Mapping[str, Any] = {}
SPECS = (TensorSpec("qkv#lora_b", PEFT, (2, 1)), TensorSpec("pet.w", PET, (2,)))
SETTINGS = StudySettings(
    study="summing", seed=1, model=Model(name="none"), secure_aggregation=SecureAggregation(fewest=3)
)
TRAINING = Training(
    groups=("peft", "pet"), roles=("lora_b",), local_steps=4, learning_rate=0.1, modality_shares={"ct": 1.0}
)
SENT = {"qkv#lora_b": np.zeros((2, 1), np.float32), "pet.w": np.ones(2, np.float32)}


def authority_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """A certificate of an authority that signs itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(utc_now()).not_valid_after(utc_now().replace(year=2099))
    return builder.sign(key, hashes.SHA384()).public_bytes(Encoding.PEM).decode()


@dataclass
class Summing:
    """weights: what the plan lets each center weigh; every center moves all that it has by as much."""

    weights: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(CENTERS, 2.0))
    authority: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    settings: StudySettings = SETTINGS
    keys: Mapping[str, ec.EllipticCurvePrivateKey] = field(
        default_factory=lambda: {name: new_key() for name in CENTERS}
    )

    def __post_init__(self) -> None:
        pem = authority_pem(self.authority)
        self.pem = pem
        self.centers = {name: MaskedSums(name, pem) for name in CENTERS}

    @property
    def roster(self) -> Roster:
        lines = {name: openssh(key) for name, key in self.keys.items()}
        return sign_roster("summing", lines, self.authority)

    def ask(self, center: str, kind: Kind, request: SumRequest | None = None, **changed: Any) -> SumAnswer:
        """What a center answers to a phase, signed as its node does."""
        asked = replace(self.instruction(kind, request), **changed)
        reply = sign_reply(self.centers[center].answer(asked), asked, self.keys[center])
        assert reply.secure is not None
        return reply.secure

    def instruction(self, kind: Kind, request: SumRequest | None = None) -> Instruction:
        training = TRAINING if kind == "train" else None
        tensors = SENT if kind == "train" else {}
        return Instruction(kind, self.settings, "adapt", 1, training=training, tensors=tensors, secure=request)

    def plan(self) -> SumPlan:
        """All centers draw keys."""
        found = {center: self.ask(center, "advertise").keys for center in CENTERS}
        keys = {center: key for center, key in found.items() if key is not None}
        weights = {PEFT: self.weights, PET: self.weights, "loss": dict.fromkeys(CENTERS, 1.0)}
        return SumPlan("summing", "adapt", 1, state_digest(SENT, {}, ""), "fedit", 0.5, keys, weights)

    def share(self, plan: SumPlan) -> dict[str, dict[str, str]]:
        """Receiver -> sender -> box."""
        sent = {name: self.ask(name, "share", SumRequest(plan=plan, roster=self.roster)).boxes for name in CENTERS}
        return {name: {peer: boxes[name] for peer, boxes in sent.items() if peer != name} for name in CENTERS}

    def train(
        self, center: str, boxes: Mapping[str, str], *, sent: Mapping[str, Any] = NOTHING, **changed: Any
    ) -> Reply:
        """What a center sends of a round; `sent`: what of its instruction is another."""
        asked = replace(self.instruction("train", SumRequest(boxes=boxes)), **sent)
        reply = self.centers[center].mask_reply(replace(trained(center), **changed), asked, SPECS)
        return sign_reply(reply, asked, self.keys[center])

    def to_unmask(self) -> dict[str, Contribution]:
        """All phases before the last; what each center says it stands behind."""
        boxes, found = self.share(self.plan()), {}
        for center in CENTERS:
            said = self.train(center, boxes[center]).secure
            assert said is not None
            assert said.contribution is not None
            found[center] = said.contribution
        return found

    def trainer(self, cohort: Path, home: Path) -> Trainer:
        """A real trainer of center-d, which trusts the authority and agreed to no plan."""
        found = Trainer("center-d", [cohort / "center-d"], ("ct",), home)
        found._sums = MaskedSums("center-d", self.pem)
        return found

    def open_for(self, trainer: Trainer, instruction: Instruction) -> Mapping[str, str]:
        """The boxes of three other centers for a real trainer, once it has shared its secrets with them."""
        key, name = new_key(), trainer.center
        first = Instruction("advertise", instruction.settings, instruction.stage, instruction.server_round)
        answers = {other: sums.answer(first) for other, sums in list(self.centers.items())[:3]}
        answers[name] = trainer.perform(first)
        signers = {**{other: self.keys[other] for other in answers if other != name}, name: key}
        signed = {other: sign_reply(reply, first, signers[other]).secure for other, reply in answers.items()}
        keys = {other: said.keys for other, said in signed.items() if said is not None and said.keys is not None}
        groups = layout_of(study_specs(instruction.settings.model_dump_json()), instruction.training or TRAINING)
        weights = {group: dict.fromkeys(keys, 1.0) for group in (*groups, "loss")}
        place = (instruction.settings.study, instruction.stage, instruction.server_round)
        state = state_digest(instruction.tensors, instruction.reference, instruction.backbone_hash)
        plan = SumPlan(*place, state, "alt-exact", 0.5, keys, weights)
        roster = sign_roster(place[0], {other: openssh(found) for other, found in signers.items()}, self.authority)
        asked = replace(first, kind="share", secure=SumRequest(plan=plan, roster=roster))
        trainer.perform(asked)
        boxes = {other: self.centers[other].answer(asked).secure for other in answers if other != name}
        return {other: said.boxes[name] for other, said in boxes.items() if said is not None}


def trained(center: str, moved: float = 0.1) -> Reply:
    """What a center without a mask would send: 4 cases behind its adapter, and PET but for center d."""
    tensors = {"qkv#lora_b": SENT["qkv#lora_b"] + np.float32(moved)}
    support = {PEFT: 4}
    if center != "d":
        tensors["pet.w"], support[PET] = SENT["pet.w"] - np.float32(moved), 1
    return Reply(center, "train", payload=Payload(center, "", "adapt", 1, tensors, support, "lora_b"), loss=0.5)
