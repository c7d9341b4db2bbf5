"""AdamW's moments of what a center trains, kept from one round of a stage to the next where a recipe asks (`kept`).

    moments/<round>-<study>-<stage>-<content>.safetensors     KEY@steps (1,), KEY@first and KEY@second, shaped as KEY

<round> counts over the study, <study> and <stage> are digests of what the round belongs to, <content> is the SHA-256 of
the file. They never leave the center.

Repeats are exact, whoever dies when. A round never overwrites what it started from: it begins with the moments of the
round that the coordinator names (`Instruction.continues`), the last one of the stage whose update from this center
counted, and leaves its own under its own number, before its reply is kept in the outbox. Asked again, it begins with
the same. All other files go when a round begins, so that two stay at most. A round that is refused, by this center or
the coordinator, is named by no later round; after rounds that were undone the coordinator names none. Where the named
file is not there, or not as it was written, all moments start afresh, with a line in the log; so they do in each stage.

Moments that go on are those of this center's own gradients, at points from which the coordinator's mean has moved the
tensors since: a little stale, by what one round moves. Starting afresh forgets the size of gradients in every round,
and takes its first steps by their sign. Both are in use (momentum averaged or begun anew: arXiv 1905.03817; restarts of
adaptive steps: arXiv 2106.02305); FedOpt (arXiv 2003.00295) leaves the choice to the client. A tensor that a phase does
not train keeps the moments of its own last phase.
"""

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load
from safetensors.numpy import save as safetensors_bytes

from protocol.errors import StorageError
from protocol.messages.instruction import Instruction
from protocol.messages.settings import settings_digest
from protocol.storage.atomic_files import remove_unfinished, write_private
from protocol.storage.regular_files import read_whole

logger = logging.getLogger(__name__)

DIGITS = 16
NAME = re.compile(r"(\d+)-([0-9a-f]{16})-([0-9a-f]{16})-([0-9a-f]{64})\.safetensors")
STEPS, FIRST, SECOND = "@steps", "@first", "@second"


Place = tuple[int, str, str]
"""Round, study and stage, as the name of a file has them."""


@dataclass(frozen=True)
class Moment:
    """Of one tensor: m and v of AdamW, not yet corrected, and how many steps they are of."""

    steps: int
    first: NDArray[np.float32]
    second: NDArray[np.float32]


Moments = Mapping[str, Moment]
FRESH: Moments = MappingProxyType({})


class KeptMoments:
    """What waits in `folder` for a center's next round."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ended: tuple[Place, Moments] | None = None

    def start_of(self, instruction: Instruction) -> Moments:
        """The moments that a round begins with; none where it begins afresh. All others are forgotten."""
        self._ended = None
        wanted = _place(instruction, instruction.continues) if _keeps(instruction) else None
        found: Moments | None = None
        for path, place in self._files():
            if place == wanted and found is None:
                found = _read(path)
            else:
                _remove(path)
        if wanted and instruction.continues and found is None:
            logger.warning(
                "the moments after round %d of stage '%s' are not in %s: the optimiser starts afresh",
                *(instruction.continues, instruction.stage, self._folder),
            )
        return found or FRESH

    def end(self, instruction: Instruction, moments: Moments) -> None:
        """Hold what a round ended with, until it is known whether its update leaves."""
        self._ended = (_place(instruction, instruction.server_round), moments) if _keeps(instruction) else None

    def keep(self, instruction: Instruction) -> None:
        """Write what the round ended with, since its update leaves; what is not finite is no start for a round.

        A disk that refuses costs a line in the log, and the next round a fresh start.
        """
        ended, self._ended = self._ended, None
        if ended is None or ended[0] != _place(instruction, instruction.server_round) or not _finite(ended[1]):
            return
        (number, study, stage), data = ended[0], safetensors_bytes(_arrays(ended[1]))
        name = f"{number:08d}-{study}-{stage}-{hashlib.sha256(data).hexdigest()}.safetensors"
        try:
            remove_unfinished(self._folder)
            write_private(self._folder / name, data)
        except StorageError as error:
            logger.warning("the optimiser's moments could not be kept: %s. The next round starts afresh", error)

    def _files(self) -> list[tuple[Path, Place | None]]:
        """Every file, with round, study and stage where its name tells them."""
        names = {path: NAME.fullmatch(path.name) for path in sorted(self._folder.glob("*.safetensors"))}
        return [(path, (int(name[1]), name[2], name[3]) if name else None) for path, name in names.items()]


def _keeps(instruction: Instruction) -> bool:
    return instruction.training is not None and instruction.training.recipe.optimiser == "kept"


def _place(instruction: Instruction, number: int) -> Place:
    """A round of the instruction's study and stage."""
    stage = hashlib.sha256(instruction.stage.encode()).hexdigest()
    return number, settings_digest(instruction.settings)[:DIGITS], stage[:DIGITS]


def _arrays(moments: Moments) -> dict[str, NDArray[np.float32]]:
    found: dict[str, NDArray[np.float32]] = {}
    for key, moment in moments.items():
        found[key + STEPS] = np.array([moment.steps], dtype=np.float32)
        found[key + FIRST], found[key + SECOND] = moment.first, moment.second
    return found


def _finite(moments: Moments) -> bool:
    return all(np.isfinite(array).all() for moment in moments.values() for array in (moment.first, moment.second))


def _read(path: Path) -> Moments | None:
    """The moments of a file that is as it was written."""
    try:
        data = read_whole(path)
        if path.name.endswith(f"-{hashlib.sha256(data).hexdigest()}.safetensors"):
            arrays = load(data)
            return {
                key.removesuffix(STEPS): Moment(int(arrays[key][0]), *_both(arrays, key.removesuffix(STEPS)))
                for key in arrays
                if key.endswith(STEPS)
            }
        found = "its content has another hash"
    except (OSError, SafetensorError) as error:
        found = str(error)
    logger.warning("%s is damaged (%s)", path, found)
    return None


def _both(arrays: Mapping[str, NDArray[np.float32]], key: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return arrays[key + FIRST], arrays[key + SECOND]


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s cannot be removed (%s)", path, error.strerror)
