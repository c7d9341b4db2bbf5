"""How long a center that was lost is waited for, and when it may be asked again."""

from dataclasses import dataclass, replace

from protocol.messages.reply import Reply

LONGEST_PAUSE_S, PAUSES = 15.0, 20


@dataclass(frozen=True)
class _Lost:
    """One center that was lost; times on the monotonic clock, `asked_at` is None until it has been asked again."""

    reply: Reply
    since: float
    latest: float
    asked_at: float | None = None


class RetryPolicy:
    """The centers that were lost while they were asked.

    A center that is lost again soon after it was asked again was never really back: its time runs on. One that worked
    for longer than that and is lost once more has all the time again.

    Args:
        patience_s: how long a lost center is waited for; 0 gives it up at once.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._pause_s = min(LONGEST_PAUSE_S, patience_s / PAUSES)
        self._lost: dict[str, _Lost] = {}

    def lose(self, center: str, reply: Reply, now: float) -> None:
        """Note that a center is lost at `now`; `reply` is what stands for it if it does not come back."""
        known = self._lost.get(center)
        soon = known is not None and (known.asked_at is None or now - known.asked_at <= self._patience_s)
        self._lost[center] = _Lost(reply, since=known.since if known and soon else now, latest=now)

    def note_asked(self, center: str, now: float) -> None:
        """Note that a lost center has been asked again."""
        if center in self._lost:
            self._lost[center] = replace(self._lost[center], asked_at=now)

    def is_lost(self, center: str) -> bool:
        """Whether a center is lost and has not been asked again."""
        return center in self._lost and self._lost[center].asked_at is None

    def may_ask(self, center: str, now: float) -> bool:
        """Whether a center may be asked now: it is not lost, or has had a pause since."""
        return not self.is_lost(center) or now >= self._lost[center].latest + self._pause_s

    def out_of_patience(self, now: float) -> dict[str, Reply]:
        """The centers whose time is over, with what stands for them."""
        return {
            center: lost.reply
            for center, lost in self._lost.items()
            if lost.asked_at is None and now >= lost.since + self._patience_s
        }

    def still_lost(self) -> dict[str, Reply]:
        """The centers that are lost and have not been asked again, with what stands for them."""
        return {center: lost.reply for center, lost in self._lost.items() if lost.asked_at is None}
