"""A history as JSON that grows with it: each record is put into words once, however often the whole is written.

A checkpoint holds the whole history and is replaced after each round. To put a record into words takes a hundred times
as long as to copy its text, so that of a long study it would soon take longer than the round.
"""

import json
from dataclasses import fields

from pydantic import TypeAdapter

from server.study.history import History

_PLAIN = TypeAdapter(History)


class HistoryText:
    """The text of one history as it was last asked for."""

    def __init__(self) -> None:
        self._told = History()
        self._texts = {kind.name: "" for kind in fields(History)}

    def of(self, history: History) -> str:
        """What `json.dumps` makes of a history as plain values; of what it said before, nothing is made again."""
        new = history.after(self._told)
        for kind, text in _words(new).items():
            is_whole = len(getattr(new, kind)) == len(getattr(history, kind))
            before = "" if is_whole else self._texts[kind]
            self._texts[kind] = ", ".join(part for part in (before, text) if part)
        self._told = history
        return "{" + ", ".join(f'"{kind}": [{text}]' for kind, text in self._texts.items()) + "}"


def _words(history: History) -> dict[str, str]:
    """Each kind of record as JSON, without the brackets around them."""
    plain = _PLAIN.dump_python(history)
    return {kind: json.dumps(plain[kind])[1:-1] for kind in plain}
