"""Keys of centers that are simulated: what enrolment gives real ones, drawn for one run and kept nowhere."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client.node.sum_signing import perform_and_sign
from client.service.failure import Perform
from protocol.enrolment.roster import sign_roster
from server.study.directory import StudyDirectory
from server.study.file import Study
from server.study.roster_file import write_roster
from server.tls.authority import provide_authority, utc_now


@dataclass(frozen=True)
class SimulatedKeys:
    """A key for each center, and the certificate of the authority that vouches for them; none where none are needed."""

    authority_pem: str = ""
    keys: Mapping[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict, repr=False)

    def sign(self, center: str, perform: Perform) -> Perform:
        """Perform as `perform` does; a center with a key signs what it says in sums."""
        return perform_and_sign(perform, lambda: self.keys[center]) if center in self.keys else perform


def draw_keys(study: Study, directory: StudyDirectory) -> SimulatedKeys:
    """Keys of all centers of a study that sums in secret, whose roster is then in its directory; none for any other.

    Raises:
        StorageError: the disk refuses.
    """
    if study.secure_aggregation is None:
        return SimulatedKeys()
    with tempfile.TemporaryDirectory() as folder:
        authority = provide_authority(Path(folder) / "authority", "simulation", now=utc_now())
    keys = {center: ec.generate_private_key(ec.SECP384R1()) for center in study.centers}
    lines = {
        center: key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        for center, key in keys.items()
    }
    issued_s = int(utc_now().timestamp())
    write_roster(directory.roster, sign_roster(study.name, lines, authority.key, issued_s=issued_s))
    return SimulatedKeys(authority.certificate.public_bytes(Encoding.PEM).decode(), keys)
