"""Finished training that the coordinator has not acknowledged yet, on the center's disk: no hour of work is done twice.

    outbox/<round>-<study>-<instruction>-<content>.safetensors      one reply each, a frame of `protocol.socket_codec`

<round> is a number of any length, <study> and <instruction> are digests of what the work belongs to, <content> is the
SHA-256 of the file. The same instruction again finds its answer here, whoever died in between; what the coordinator
reports as acknowledged is removed. A file that is damaged, or that no instruction can name, is set aside; the last few
of these stay for a person to look at.
"""

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from client.outgoing.sealed_reply import SealedReply
from protocol.errors import NothingWaitingError, PayloadError, StorageError
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.settings import StudySettings, settings_digest
from protocol.messages.tensors import content_hash
from protocol.messages.text import to_text
from protocol.socket_codec import unpack_reply
from protocol.storage.atomic_files import remove_unfinished, write_private

logger = logging.getLogger(__name__)

KEPT_REPLIES = 16
KEPT_ASIDE = 4
STUDY_DIGITS = 16
NAME = re.compile(r"(\d+)-([0-9a-f]{16})-([0-9a-f]{64})-([0-9a-f]{64})\.safetensors")
DAMAGED = ".damaged"


@dataclass(frozen=True)
class _Entry:
    """One file of the outbox, as its name describes it."""

    path: Path
    server_round: int
    study: str
    instruction: str
    content: str


class Outbox:
    """The replies that wait in `folder`, at most `size`; the one kept first goes first, with a line in the log."""

    def __init__(self, folder: Path, size: int = KEPT_REPLIES) -> None:
        self._folder, self._size = folder, size

    def waiting_for(self, instruction: Instruction) -> Reply | None:
        """What has been done already of an instruction; None where it has to be done.

        What `instruction.acknowledged` covers is forgotten first.

        Raises:
            NothingWaitingError: a `collect` that finds nothing between the acknowledged rounds and its own.
        """
        self._forget_acknowledged(instruction)
        if instruction.kind == "train":
            entries = self._entries()
            asked = instruction_digest(instruction) if entries else ""
            return self._first(entry for entry in entries if entry.instruction == asked)
        if instruction.kind != "collect":
            return None
        reply = self._first(entry for entry in self._of(instruction) if entry.server_round < instruction.server_round)
        if reply is None:
            raise NothingWaitingError(
                f"no finished update after round {instruction.acknowledged} and before {instruction.server_round} "
                f"waits in {self._folder}"
            )
        return replace(reply, kind="collect")

    def keep(self, instruction: Instruction, leaving: SealedReply) -> None:
        """Keep a finished reply; everything but training is done again in no time and is not kept.

        A disk that refuses it costs a line in the log, not the reply.
        """
        if leaving.reply.kind != "train" or leaving.reply.error:
            return
        asked, content = instruction_digest(instruction), hashlib.sha256(leaving.frame).hexdigest()
        study = study_digits(instruction.settings)
        path = self._folder / f"{instruction.server_round:08d}-{study}-{asked}-{content}.safetensors"
        if path.exists():
            return
        try:
            remove_unfinished(self._folder)
            write_private(path, leaving.frame)
        except StorageError as error:
            logger.warning(
                "the update of stage '%s', round %d leaves but could not be kept: %s. If it is lost on its way, it has "
                "to be trained again",
                instruction.stage,
                instruction.server_round,
                error,
            )
            return
        for entry in self._entries():
            if entry.instruction == asked and entry.path != path:
                _remove(entry.path)
        self._drop_surplus()

    def _forget_acknowledged(self, instruction: Instruction) -> None:
        if instruction.acknowledged:
            for entry in self._of(instruction):
                if entry.server_round <= instruction.acknowledged:
                    _remove(entry.path)

    def _of(self, instruction: Instruction) -> Iterator[_Entry]:
        """What waits of the instruction's study, the earliest round first."""
        study = study_digits(instruction.settings)
        return (entry for entry in self._entries() if entry.study == study)

    def _entries(self) -> list[_Entry]:
        """All entries, by round."""
        names = {path: NAME.fullmatch(path.name) for path in sorted(self._folder.glob("*.safetensors"))}
        entries = [_Entry(path, int(name[1]), name[2], name[3], name[4]) for path, name in names.items() if name]
        return sorted(entries, key=lambda entry: entry.server_round)

    def _first(self, entries: Iterator[_Entry]) -> Reply | None:
        """The first reply that is as it was written; the others are set aside."""
        return next((reply for entry in entries if (reply := _read(entry)) is not None), None)

    def _drop_surplus(self) -> None:
        by_age = sorted(self._entries(), key=lambda entry: entry.path.stat().st_mtime_ns)
        for entry in by_age[: max(0, len(by_age) - self._size)]:
            logger.warning(
                "the outbox %s holds more than %d updates: the one of round %d is dropped; the coordinator never "
                "acknowledged it",
                self._folder,
                self._size,
                entry.server_round,
            )
            _remove(entry.path)
        others = [path for path in self._folder.glob("*.safetensors*") if not NAME.fullmatch(path.name)]
        for path in sorted(others, key=lambda path: path.stat().st_mtime_ns)[: max(0, len(others) - KEPT_ASIDE)]:
            _remove(path)


def instruction_digest(instruction: Instruction) -> str:
    """SHA-256 of everything that decides the answer to an instruction.

    `acknowledged` is no part of it, and the backbone only by the hash that names it: it comes along or does not.
    """
    text = to_text(replace(instruction, acknowledged=0, tensors={}, backbone={}, reference={}))
    parts = (text, content_hash(instruction.tensors), content_hash(instruction.reference))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def study_digits(settings: StudySettings) -> str:
    """What tells the updates of one study from those of another: the start of the settings' digest."""
    return settings_digest(settings)[:STUDY_DIGITS]


def _read(entry: _Entry) -> Reply | None:
    """The reply of an entry; one that was damaged is set aside, so that the work is done anew."""
    try:
        frame = entry.path.read_bytes()
        if hashlib.sha256(frame).hexdigest() == entry.content:
            return unpack_reply(frame)
        found = "its content has another hash"
    except (OSError, PayloadError) as error:
        found = str(error)
    logger.warning("%s is damaged (%s): it is set aside and the work done anew", entry.path, found)
    with suppress(OSError):
        entry.path.rename(entry.path.with_name(entry.path.name + DAMAGED))
    return None


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s cannot be removed (%s)", path, error.strerror)
