"""What a study asks its centers to hold the federation against."""

from protocol.messages.base import Settings


class Reference(Settings):
    """What is done beside the study, at each center, so that it can say what federation brought it.

    local_only: a center trains an adapter of its own too, in the same rounds, and compares what it is served with that
    and with the CT network alone (`protocol.messages.benefit`).
    """

    local_only: bool = False


def trains_alone(reference: Reference | None) -> bool:
    """Whether a center trains an adapter of its own beside the study."""
    return reference is not None and reference.local_only
