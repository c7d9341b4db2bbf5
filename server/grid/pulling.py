"""How replies are fetched from a grid: all at once where all nodes are this machine's, one by one over a network.

Flower puts a message together from objects that its sender made, and raises at the first that does not fit: what else
was fetched with it is lost then, since the SuperLink hands a reply out once. Fetched alone, a message that cannot be
put together costs nobody but its sender, and a reply answers the message under whose id it was fetched, whatever it
says of itself.
"""

import logging
from collections.abc import Callable, Iterable, Iterator

import httpx
from flwr.app import Message
from flwr.serverapp import Grid

from protocol.errors import ConciliumError
from protocol.plain_text import shown

logger = logging.getLogger(__name__)

Fetched = tuple[str, Message | None]
"""The id of the message that was sent, and its reply; None of one that cannot be put together."""
Pull = Callable[[Grid, list[str]], Iterable[Fetched]]
LINK = (OSError, httpx.HTTPError, ConciliumError)
"""Trouble on the way to the SuperLink, which is no sender's."""


def pull_together(grid: Grid, message_ids: list[str]) -> Iterator[Fetched]:
    """The replies that are there, fetched at once; for nodes in processes of this machine's own."""
    for incoming in grid.pull_messages(message_ids):
        yield incoming.metadata.reply_to_message_id, incoming


def pull_apart(grid: Grid, message_ids: list[str]) -> Iterator[Fetched]:
    """The replies that are there, each fetched alone; for nodes that somebody else runs.

    Raises:
        OSError, httpx.HTTPError: the SuperLink cannot be reached.
    """
    for message_id in message_ids:
        try:
            found = list(grid.pull_messages([message_id]))
        except LINK:
            raise
        except Exception as error:  # noqa: BLE001 -- whatever a sender's objects make Flower raise
            logger.error("the next reply cannot be put together: %s (%s)", type(error).__name__, shown(error))
            yield message_id, None
            continue
        yield from ((message_id, incoming) for incoming in found[:1])
