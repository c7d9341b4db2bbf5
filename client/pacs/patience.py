"""How often a PACS that does not answer is asked again: waits of 2, 4 and 8 seconds between four attempts."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from client.pacs.contract import PacsSilentError, SeriesShortError

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Patience:
    """attempts: at least 1, the first included. first_wait_s: seconds before the second; each later wait is double."""

    attempts: int = 4
    first_wait_s: float = 2.0
    sleep: Callable[[float], None] = time.sleep

    def ask(self, action: Callable[[], Answer]) -> Answer:
        """What `action` returns, called again while a PACS is silent or sends too little.

        Raises:
            PacsError: what the last attempt raised, or at once what asking again cannot help.
        """
        for attempt in range(1, self.attempts):
            try:
                return action()
            except (PacsSilentError, SeriesShortError) as error:
                wait_s = self.first_wait_s * 2 ** (attempt - 1)
                logger.warning("attempt %d of %d: %s; again in %g s", attempt, self.attempts, error, wait_s)
                self.sleep(wait_s)
        return action()


USUAL = Patience()
