"""What is asked again, how often and after how long."""

import pytest

from client.pacs.contract import PacsSilentError, SeriesShortError, StudyFailedError
from client.pacs.patience import Patience
from protocol.errors import PacsError


def ask(faults: list[Exception], attempts: int = 4) -> tuple[str | Exception, list[float]]:
    waits: list[float] = []

    def action() -> str:
        if faults:
            raise faults.pop(0)
        return "answer"

    try:
        return Patience(attempts, 2.0, waits.append).ask(action), waits
    except PacsError as error:
        return error, waits


def test_a_silent_pacs_is_asked_again_after_2_4_and_8_seconds() -> None:
    assert ask([PacsSilentError("a"), SeriesShortError("b"), PacsSilentError("c")]) == ("answer", [2.0, 4.0, 8.0])


def test_the_last_attempt_speaks() -> None:
    found, waits = ask([PacsSilentError("first"), PacsSilentError("last")], attempts=2)
    assert (str(found), waits) == ("last", [2.0])


@pytest.mark.parametrize("error", [PacsError("refused"), StudyFailedError("broken")])
def test_what_asking_again_cannot_help_is_told_at_once(error: PacsError) -> None:
    assert ask([error]) == (error, [])
