"""What an audit attacks: a version of a bank, and how networks like it are made of other patients."""

import hashlib
from dataclasses import dataclass, replace

from torch import nn

from client.home.own_privacy import OwnPrivacy, agree_on_privacy
from client.learning.assembly import assemble_fresh, row_of
from client.learning.bank_settings import settings_behind
from client.scores.scoring import Network
from protocol.errors import ModelError
from protocol.messages.settings import ROLES, Training
from protocol.messages.tensors import BACKBONE, Tensors, content_hash, role_of
from protocol.tasks import TaskName
from strategies.bank.bank import AdapterBank
from strategies.bank.entry import Entry


@dataclass(frozen=True)
class AuditTarget:
    """One version.

    network: of the version. start: tensors that shadows begin with; none is a fresh adapter. training: of a shadow, all
    of its steps at once.
    """

    entry: Entry
    network: Network
    start: Tensors
    task: TaskName
    training: Training

    def begin(self) -> nn.Module:
        """A new network as a shadow begins."""
        network = self.network
        if self.start:
            return network.variant(self.start)
        return assemble_fresh(network.settings, network.row, network.backbone, device=network.device)

    def held_to(self, own: OwnPrivacy | None, center: str) -> "AuditTarget":
        """The same with shadows that train under a center's own numbers where it tightened the study's by them.

        A center that refuses what is weaker trained under the study's numbers, or not at all.
        """
        settings = self.network.settings
        if settings.privacy is None or own is None or own.weaker == "refuse":
            return self
        agreed = agree_on_privacy(settings.privacy, own, center, settings.study)
        network = replace(self.network, settings=settings.model_copy(update={"privacy": agreed}))
        return replace(self, network=network)

    @property
    def digest(self) -> str:
        """SHA-256 of all that a shadow's losses depend on, cases aside."""
        settings, training = self.network.settings.model_dump_json(), self.training.model_dump_json()
        parts = (settings, self.network.backbone_hash, content_hash(self.start), self.task, training)
        return hashlib.sha256("|".join(parts).encode()).hexdigest()


def target_of(
    bank: AdapterBank, name: str, version: int | None, task: TaskName, training: Training, *, device: str
) -> AuditTarget:
    """A version of a bank, whose shadows begin with the version that it grew from.

    Raises:
        BankError: the bank has no such version, or it is damaged.
        ModelError: the version has no tensors that a shadow could train, as of a stage that trains the backbone.
    """
    entry = bank.entry(name, version)
    tensors = bank.tensors(entry)
    if not tensors or BACKBONE in training.groups:
        raise ModelError(
            f"{entry.reference} is of stage '{entry.stage}', which trains the whole network: it has no adapter; "
            "give --version of a later stage"
        )
    row = row_of(bank.settings)
    settings = settings_behind(bank.settings, row, bank.adapter_config, tensors)
    network = Network(settings, row, bank.backbone(entry.backbone), entry.backbone, tensors, device)
    return AuditTarget(entry, network, _start(bank, entry), task, training)


def shadow_training(training: Training, steps: int) -> Training:
    """A stage's training as a shadow takes it: all of the adapter in one go, without terms that need a federation."""
    recipe = training.recipe.model_copy(update={"optimiser": "fresh"})
    changes = {"roles": ROLES, "terms": {}, "validate_first": False, "local_steps": steps, "recipe": recipe}
    return training.model_copy(update=changes)


def _start(bank: AdapterBank, entry: Entry) -> Tensors:
    if entry.parent is None:
        return {}
    name, _, version = entry.parent.rpartition("/")
    tensors = bank.tensors(bank.entry(name, int(version)))
    return tensors if any(role_of(key) for key in tensors) else {}
