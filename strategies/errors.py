"""What can go wrong, as one tree: everything a user can act on derives from ConciliumError.

Messages name who, what, found, expected and what to do next; `code` is what may travel to the coordinator.
"""


class ConciliumError(Exception):
    """Base of all errors raised on purpose."""

    code = "failed"


class StudyError(ConciliumError):
    """A study file that cannot be run as written."""

    code = "study"


class QuorumError(ConciliumError):
    """Too few centers answered; the last completed round stands and the study can be resumed."""

    code = "quorum"


class PayloadError(ConciliumError):
    """A center's tensors that do not match what the study agreed on."""

    code = "payload"


class BankError(ConciliumError):
    """An adapter bank that lacks, or cannot verify, what was asked of it."""

    code = "bank"


class StorageError(ConciliumError):
    """A file that could not be written whole; the previous one is untouched."""

    code = "storage"


class CaseError(ConciliumError):
    """Data at a center that cannot be used as it is."""

    code = "cases"


class ModelError(ConciliumError):
    """A model, adapter or input that does not fit."""

    code = "model"


class BackboneMissingError(ConciliumError):
    """A center that does not hold the frozen backbone yet; the coordinator answers by sending it."""

    code = "backbone-missing"
