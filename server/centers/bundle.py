"""The Flower bundle of a study and its hash: what centers agree to, byte for byte.

Flower builds it as a stored zip with fixed dates, so equal files give equal bytes. It names two apps that are already
installed and carries no code: any other file in it is an error here, and a center refuses it too.
"""

import hashlib
import io
import warnings
import zipfile
from pathlib import Path

from protocol.enrolment.kit import BUNDLE_FILES
from protocol.errors import LaunchError

BUNDLE_APP = Path(__file__).resolve().parents[1] / "flower-app"


def bundle_bytes(app: Path = BUNDLE_APP) -> bytes:
    """The bundle that Flower builds from `app`.

    Raises:
        LaunchError: the app is not complete, or the bundle would carry a file that is not on the list.
    """
    from protocol.flower_internals import build_fab_from_disk

    try:
        with warnings.catch_warnings():
            # Flower's own use of pathspec's older name.
            warnings.simplefilter("ignore", DeprecationWarning)
            data = build_fab_from_disk(app)
    except (OSError, ValueError) as error:
        raise LaunchError(f"Flower cannot bundle {app} ({error}); install concilium again") from error
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found = archive.namelist()
    if sorted(found) != sorted(BUNDLE_FILES):
        raise LaunchError(
            f"the bundle of {app} holds {sorted(found)}, expected {sorted(BUNDLE_FILES)}; remove what does not belong "
            "there: a bundle brings nothing into a hospital"
        )
    return data


def bundle_sha256(app: Path = BUNDLE_APP) -> str:
    """SHA-256 of the bundle; Flower's own name for it, and what centers pin."""
    return hashlib.sha256(bundle_bytes(app)).hexdigest()
