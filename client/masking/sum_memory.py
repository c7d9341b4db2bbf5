"""What a center remembers of the sums that it helped to open, and of the roster, whoever was started again since.

    opened-sums.json      study -> the last round of which a sum was opened, as what, when its roster was signed, and
                          each row of scores and each comparison that was opened, of which networks and as what

A round that is opened twice, once without a center, shows that center's update. So no earlier round is begun again, and
the last one opens as it did and in no other way: the same centers behind the same groups, and trained from the same.
Likewise of scores: two sums over the cases of the same centers but one show that center's score. So a row, and a
comparison of a stage, opens once, and the same networks are judged again, under whatever name, as they were alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from protocol.errors import RepeatedSumError, SecureSumError
from protocol.messages.secure_sum import Purpose, Roster
from protocol.storage.atomic_files import write_private
from protocol.storage.regular_files import read_whole
from protocol.storage.sealed_json import seal, unseal

FILE = "opened-sums.json"


class Place(NamedTuple):
    """Where a sum belongs."""

    study: str
    stage: str
    number: int
    of: Purpose = "train"


class SumMemory:
    """The memory of one center.

    Args:
        center: its name.
        home: where it is kept; None keeps it in this process alone.

    Raises:
        SecureSumError: of all methods, where the file is damaged.
    """

    def __init__(self, center: str, home: Path | None) -> None:
        self._center, self._path = center, None if home is None else home / FILE
        self._studies: dict[str, Mapping[str, Any]] = {}

    def check_place(self, place: Place) -> None:
        """Refuse to begin a round at or before which a sum was opened, but for the last one; scores have no order.

        Raises:
            RepeatedSumError: it is such a round.
        """
        study, stage, number, of = place
        last = self._of(study)
        if of != "train":
            return
        if number < last.get("round", 0) or (number == last.get("round") and stage != last["stage"]):
            raise RepeatedSumError(
                f"center '{self._center}': round {number} of stage '{stage}' is asked for, and the sum of round "
                f"{last['round']} of study '{study}' was opened already: two sums of a round differ by what one center "
                "sent. A study that begins anew needs another name"
            )

    def remember_opening(self, place: Place, opened: str) -> None:
        """Keep what is about to be opened.

        Raises:
            RepeatedSumError: the round was opened as another sum before.
            StorageError: the disk refuses.
        """
        study, stage, number, _ = place
        self.check_place(place)
        last = self._of(study)
        if number == last.get("round") and opened != last["opened"]:
            raise RepeatedSumError(
                f"center '{self._center}': round {number} of stage '{stage}' was opened before, with other centers or "
                "trained from something else: the two sums would differ by what one center sent. It is opened again as "
                "it was, when all who were in it are back"
            )
        self._keep(study, {"stage": stage, "round": number, "opened": opened})

    def remember_scores(self, place: Place, networks: str, opened: str) -> None:
        """Keep what scores or comparisons are about to be opened.

        Args:
            place: where they belong.
            networks: digest of what was judged.
            opened: digest of all that decides on the sum.

        Raises:
            RepeatedSumError: the row, or the same networks, were opened as another sum before.
            StorageError: the disk refuses.
        """
        study, stage, _, of = place
        known = dict(self._of(study).get("scores", {}))
        mine, found = f"{of}/{stage}", [networks, opened]
        for name, before in known.items():
            is_same = name.startswith(f"{of}/") and before[0] == networks
            if (name == mine or is_same) and before != found:
                raise RepeatedSumError(
                    f"center '{self._center}': '{of}' of stage '{stage}' was opened before, as '{name}', with other "
                    "centers, cases or networks: the two sums would differ by what one center scored. It is opened "
                    "again as it was, when all who were in it are back"
                )
        self._keep(study, {"scores": {**known, mine: found}})

    def take_roster(self, roster: Roster) -> None:
        """Keep when the roster was signed.

        Raises:
            SecureSumError: a later one was seen.
            StorageError: the disk refuses.
        """
        last = self._of(roster.study).get("roster", 0)
        if roster.issued < last:
            raise SecureSumError(
                f"center '{self._center}': the roster of study '{roster.study}' was signed at {roster.issued}, and one "
                f"of {last} was seen (seconds since 1970): who was taken off it since may be in it"
            )
        if roster.issued > last:
            self._keep(roster.study, {"roster": roster.issued})

    def _of(self, study: str) -> Mapping[str, Any]:
        return self._read().get(study, {})

    def _read(self) -> dict[str, Mapping[str, Any]]:
        if self._path is None:
            return self._studies
        try:
            return unseal(read_whole(self._path))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            raise SecureSumError(
                f"center '{self._center}': {self._path} cannot be read ({error}), so that nobody knows which sums were "
                "opened; restore it"
            ) from error

    def _keep(self, study: str, changed: Mapping[str, Any]) -> None:
        self._studies = {**self._read(), study: {**self._of(study), **changed}}
        if self._path is not None:
            write_private(self._path, seal(self._studies))
