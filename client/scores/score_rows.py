"""The rows that a center keeps of its test cases (`client.scores.score_log` writes them), read back and checked."""

from pathlib import Path
from typing import Any

from protocol.errors import CaseError
from protocol.storage.regular_files import read_whole
from protocol.storage.sealed_json import unseal_if_sealed


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of `scores.json` or `cohorts.json`; none before the first.

    Raises:
        CaseError: the file is damaged, or holds no rows.
    """
    if not path.exists():
        return []
    try:
        content = unseal_if_sealed(read_whole(path))
        rows = content if isinstance(content, list) else content["rows"]
        if not all(isinstance(row, dict) and "stage" in row for row in rows):
            raise ValueError("expected rows that name their stage")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CaseError(f"scores {path} cannot be read ({error!r}); evaluate again to replace them") from error
    return list(rows)
