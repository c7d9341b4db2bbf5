"""What audits found, kept in a center's home for its own page; nothing of it travels.

{"schema": 1, "audits": [...], "seal": SHA-256}      audits.json
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from protocol.errors import CaseError
from protocol.messages.audit import Audit
from protocol.messages.base import Settings
from protocol.storage.atomic_files import write_private
from protocol.storage.regular_files import read_whole
from protocol.storage.sealed_json import seal, unseal

AUDITS = "audits.json"


class _File(Settings):
    schema_: Literal[1] = Field(default=1, alias="schema")
    audits: tuple[Audit, ...]


def record_audit(home: Path, audit: Audit) -> None:
    """Keep an audit in place of an earlier one of the same version and task; a check of a candidate stands beside it.

    Raises:
        CaseError: what is kept there is damaged.
        StorageError: the disk refuses.
    """
    before = [found for found in read_audits(home / AUDITS) if _of(found) != _of(audit)]
    content = _File(audits=(*before, audit)).model_dump(mode="json", by_alias=True)
    write_private(home / AUDITS, seal(content))


def read_audits(path: Path) -> tuple[Audit, ...]:
    """All audits, oldest first; none before the first.

    Raises:
        CaseError: the file is damaged.
    """
    if not path.exists():
        return ()
    try:
        return _File.model_validate(unseal(read_whole(path))).audits
    except (OSError, ValueError, TypeError, ValidationError) as error:
        raise CaseError(f"audits {path} cannot be read ({error}); move the file away and audit again") from error


def _of(audit: Audit) -> tuple[str, str, str, bool]:
    return audit.adapter_sha256, audit.backbone_sha256, audit.task, audit.answered is None
