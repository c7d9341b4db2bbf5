"""Bytes read as each file that a person writes: a study, settings of both sides, a benchmark, a table.

The bytes are tried as they are; what is valid TOML reaches the checks of values behind the parser.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from client.cli.study_part import read_study_part
from client.data.census import read_expected
from client.data.conversion_file import read_conversion
from client.data.table import read_table
from client.home.agreement import read_agreement
from client.home.center_home import CenterHome, read_settings
from client.pacs.settings import read_server
from deploy.comparison.planner import read_plan
from protocol.errors import ConciliumError
from server.study.coordinator_settings import read_coordinator
from server.study.file import read_study

PACS = b"""[pacs]
kind = "dicomweb"
url = "https://pacs.example.org/dicom-web"
user = "reader"
password = "secret"
"""
COORDINATOR = b"""consortium = "North"
endpoint = "fed.example.org:443"
image = "client:1"
"""
CENTER = b"""center = "north"
data = ["/data"]
minimum_cases = 5
port = 9094
"""
TABLE = b"case;patient;age\n001;P1;61\n002;P2;\n"
AGREEMENT = b'{"study": "s", "title": "S", "settings_sha256": "' + b"a" * 64 + b'"}'
CONVERSION = b'{"version": 1, "source": "dicom", "program": "concilium"}'
STUDIES = Path(__file__).parents[2] / "studies"


class TextTarget:
    """Reads bytes as the file that their first byte names."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        root = Path(self._folder.name)
        self._root = root
        demo, plan = (STUDIES / "demo.toml").read_bytes(), (STUDIES / "sts-arms-benchmark.toml").read_bytes()
        self._readers: tuple[tuple[str, Callable[[Path], object], bytes], ...] = (
            ("study.toml", read_study, demo),
            ("study.toml", read_study_part, demo),
            ("coordinator.toml", read_coordinator, COORDINATOR),
            ("center.toml", lambda path: read_settings(CenterHome(path.parent)), CENTER),
            ("pacs.toml", _read_private, PACS),
            ("benchmark.toml", read_plan, plan),
            ("labels.csv", read_table, TABLE),
            ("list.csv", lambda path: read_expected(str(path)), TABLE),
            ("agreement.json", read_agreement, AGREEMENT),
            ("conversion.json", lambda path: read_conversion(path.parent), CONVERSION),
        )
        self.seeds = tuple(bytes([place]) + content for place, (_, _, content) in enumerate(self._readers))

    def __call__(self, data: bytes) -> None:
        """Only an error that a user can act on may come of it."""
        name, read, _ = self._readers[(data[0] if data else 0) % len(self._readers)]
        path = self._root / name
        path.write_bytes(data[1:])
        try:
            read(path)
        except ConciliumError as error:
            if not str(error).strip():
                raise AssertionError(f"no word about {name}") from error


def _read_private(path: Path) -> object:
    path.chmod(0o600)
    return read_server(path)
