"""What a center trained alone, in the bank of its federated study: a version that can be told from the study's own.

It stands on the study's backbone, and its `parent` is the version that it took the place of, to which a rollback leads
back. A router adds what is a center's own to the shared adapter, with which this one was not trained: it goes on with
the version before.
"""

from protocol.errors import BankError
from strategies.bank.bank import SHARED, AdapterBank
from strategies.bank.entry import Entry
from strategies.bank.living import living_names

TRAINED_ALONE = "trained alone in as many steps"


def adopt(bank: AdapterBank, center: str, alone: AdapterBank) -> Entry:
    """Put what a center trained alone into use under its name; adopting it again makes no second version.

    Args:
        bank: of the federated study.
        center: whose adapter it is.
        alone: the bank of the study in which the center trained alone.

    Raises:
        BankError: it stands on another backbone than the study's shared adapter, or is missing or damaged.
        StorageError: the disk refuses; what is in use stays so.
    """
    own, expected = alone.head(center), bank.head(SHARED).backbone
    if own.backbone != expected:
        raise BankError(
            f"adapter '{center}' of {alone.root} stands on backbone {own.backbone}, that of study "
            f"'{bank.settings.study}' is {expected}; move {alone.root.parent} away and train alone again"
        )
    return bank.add(
        center,
        alone.tensors(own),
        center=center,
        stage=own.stage,
        server_round=own.server_round,
        backbone=own.backbone,
        support=own.support,
        parent=entry_in_use(bank, center).reference,
        provenance=TRAINED_ALONE,
    )


def entry_in_use(bank: AdapterBank, center: str) -> Entry:
    """What is in use under a center's name; the shared adapter's version where it has none, or has withdrawn."""
    return bank.head(center if center in living_names(bank) else SHARED)


def entry_beside_shared(bank: AdapterBank, name: str) -> Entry:
    """The version of an adapter that belongs with the shared one: in use, or replaced by what was trained alone."""
    entry = bank.head(name)
    while entry.provenance == TRAINED_ALONE and entry.parent is not None:
        before, _, version = entry.parent.partition("/")
        entry = bank.entry(before, int(version))
    return entry
