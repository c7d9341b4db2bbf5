"""What can go wrong, as one tree: everything a user can act on derives from ConciliumError.

Messages name who, what, found, expected and what to do next; `code` is what may travel to the coordinator.
"""

from collections.abc import Iterator

# Codes that stand for an answer and that no class has, since nobody raises them on this side of the wire.
NO_ANSWER, UNREADABLE, TRAINER_UNAVAILABLE = "no-answer", "unreadable", "trainer-unavailable"
REFUSED, INTERNAL = "egress-refused", "internal"
UNKNOWN = "unknown-error"
NOT_AGREED = "not-agreed"
"""Stands for the answer of a center that is not asked, since the stage came after what it agreed to."""
OF_CENTERS = frozenset(
    {
        "agreement",
        "bundle-refused",
        "excessive",
        "guard",
        "home",
        "ledger",
        "records",
        "run-option-refused",
        "trainer-service",
        TRAINER_UNAVAILABLE,
    }
)
"""Codes of classes that only the program of a center has; the coordinator never imports it and must know them."""

LASTING = frozenset(
    {
        *("queries-spent", "too-few", "other-study", "bundle-refused", "run-option-refused", REFUSED),
        *("leak", "privacy", "privacy-spent", "privacy-noise"),
    }
)
"""Codes that the same question gets again however long one waits: the center may not answer it."""


class ConciliumError(Exception):
    """Base of all errors raised on purpose."""

    code = "failed"


class StudyError(ConciliumError):
    """A study file that cannot be run as written."""

    code = "study"


class QuorumError(ConciliumError):
    """Too few centers answered; the last completed round stands and the study can be resumed."""

    code = "quorum"


class NoVoiceError(ConciliumError):
    """No center can judge a stage's candidate, and waiting changes nothing; its rounds stand, a person decides."""

    code = "no-voice"


class PayloadError(ConciliumError):
    """A center's tensors that do not match what the study agreed on."""

    code = "payload"


class NonFiniteError(PayloadError):
    """A payload that holds NaN or infinity."""

    code = "non-finite"


class OtherBackboneError(PayloadError):
    """A payload made on another backbone, or on one that moved."""

    code = "other-backbone"


class LateError(PayloadError):
    """A payload of an earlier round."""

    code = "late"


class PhaseError(PayloadError):
    """A payload of another phase, or one that carries a factor its phase freezes."""

    code = "phase"


class FrozenMovedError(PayloadError):
    """A payload whose center changed a tensor that must stand still in the round."""

    code = "frozen-moved"


class GainError(PayloadError):
    """A payload whose DoRA row gain d = m / ||W0 + s B A|| is not positive."""

    code = "gain"


class SupportError(PayloadError):
    """A payload whose support contradicts its tensors or exceeds the cases the center registered."""

    code = "support"


class NormError(PayloadError):
    """A payload that moved farther than the steps of its round can have taken it."""

    code = "norm"


class SecureSumError(ConciliumError):
    """A sum of masked numbers that cannot be made: too few stand behind it, or somebody is not who he says he is."""

    code = "secure-sum"


class RepeatedSumError(SecureSumError):
    """A sum of a round of which one was opened before: two of them would show what one center sent."""

    code = "sum-repeated"


class BankError(ConciliumError):
    """An adapter bank that lacks, or cannot verify, what was asked of it."""

    code = "bank"


class TooFewError(ConciliumError):
    """What a center was asked for would stand on too few patients: figures, or all tensors of a private round."""

    code = "too-few"


class SpentError(ConciliumError):
    """Figures that a center was asked for more often than it agreed to, or allows on its data."""

    code = "queries-spent"


class PrivacyError(ConciliumError):
    """Training that cannot keep the guarantee that the study asks for, or asks for less than the center holds to."""

    code = "privacy"


class PrivacySpentError(ConciliumError):
    """A round after which a center's patients would have less privacy than it holds to; it sits out."""

    code = "privacy-spent"


class PrivacyNoiseError(ConciliumError):
    """A round whose update would be noise: few patients, or what they spent before, ask for so much; it sits out."""

    code = "privacy-noise"


class LeakError(ConciliumError):
    """A candidate that a center does not compare, since it gives away who trained."""

    code = "leak"


class StorageError(ConciliumError):
    """A file that could not be written whole; the previous one is untouched."""

    code = "storage"


class CaseError(ConciliumError):
    """Data at a center that cannot be used as it is."""

    code = "cases"


class PortError(ConciliumError):
    """A port of this machine that cannot be had."""

    code = "port"


class SocketError(ConciliumError):
    """A local socket that cannot be listened at, or that somebody else has put there."""

    code = "socket"


class OtherFlowerError(ConciliumError):
    """A Flower that does not work as the pinned one does, so that what we change of it cannot be changed."""

    code = "flower"


class LabelError(CaseError):
    """A center's table of labels and covariates that no study can begin with."""

    code = "labels"


class PacsError(ConciliumError):
    """A PACS that cannot be asked, refuses what it is asked, or does not answer."""

    code = "pacs"


class ModelError(ConciliumError):
    """A model, adapter or input that does not fit."""

    code = "model"


class BackboneMissingError(ConciliumError):
    """A center that does not hold the frozen backbone yet; the coordinator answers by sending it."""

    code = "backbone-missing"


class NothingWaitingError(ConciliumError):
    """A center whose outbox holds no update that the coordinator has not acknowledged."""

    code = "nothing-waiting"


class CancelledError(ConciliumError):
    """Work that was cancelled because its run was stopped; nothing of it leaves."""

    code = "cancelled"


class OtherStudyError(ConciliumError):
    """An instruction whose settings are not those of the study that the center agreed to."""

    code = "other-study"


class KitError(ConciliumError):
    """An onboarding kit, or the answer to one, that cannot be used."""

    code = "kit"


class RevokedError(ConciliumError):
    """A center whose key the coordinator turns away for good."""

    code = "revoked"


class EnrolmentError(ConciliumError):
    """A center that cannot be enrolled, renewed or revoked as asked."""

    code = "enrolment"


class AuditError(ConciliumError):
    """An audit log that cannot be signed, or a signed head that cannot be read."""

    code = "audit"


class WithdrawalError(ConciliumError):
    """A center that cannot be withdrawn from a study as asked."""

    code = "withdrawal"


class LaunchError(ConciliumError):
    """A study that cannot be launched, stopped or followed."""

    code = "launch"


def error_codes() -> frozenset[str]:
    """Every code that a center may answer with; nothing else is an error code."""
    return frozenset({REFUSED, INTERNAL, UNREADABLE, *OF_CENTERS}.union(_codes(ConciliumError)))


def known_code(code: str) -> str:
    """A code that a center answered with; `unknown-error` in place of what is none, "" of none."""
    return code if not code or code in error_codes() else UNKNOWN


def _codes(error: type[ConciliumError]) -> Iterator[str]:
    yield error.code
    for below in error.__subclasses__():
        yield from _codes(below)
