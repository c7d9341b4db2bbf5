"""What of a reply stays at the center where no center's own figure may leave it: scores, comparison and diagnostics.

They are suppressed by name, whether anything of them is in a sum or not: nobody shall take their absence for a zero.
"""

from dataclasses import replace

from protocol.messages.reply import Reply
from protocol.messages.suppression import Part, Suppressed, settings_suppressed


def without_figures(reply: Reply) -> Reply:
    """The reply with masked rows, if it has any, in the place of its figures; the loss is summed with the tensors."""
    there: dict[Part, bool] = {"comparison": reply.comparison is not None, "diagnostics": bool(reply.diagnostics)}
    parts = tuple(part for part, is_there in there.items() if is_there)
    held = Suppressed(settings_suppressed(reply.scores, ()).scores, parts).joined_with(reply.suppressed)
    return replace(reply, scores={}, comparison=None, diagnostics={}, benefits=(), suppressed=held)
