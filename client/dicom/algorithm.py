"""What made an object that leaves `predict`, in the words and lengths that DICOM allows; every output carries it."""

from dataclasses import dataclass
from importlib.metadata import version

RESEARCH = "research, not a medical device"
MANUFACTURER = "Concilium"
MODEL_NAME = "concilium-center predict"
LONGEST_LO = 64
HASH_SHOWN = 12


@dataclass(frozen=True)
class Algorithm:
    """The adapter behind a prediction.

    adapter: its name and version, such as "shared/0002". sha256: content hash of its tensors, as the bank has it.
    study: whose bank. program: this program's version.
    """

    adapter: str
    sha256: str
    study: str
    program: str

    @property
    def description(self) -> str:
        """Adapter, the beginning of its hash and the statement of research, within the 64 characters of an LO."""
        end = f" {self.sha256[:HASH_SHOWN]}; {RESEARCH}"
        return self.adapter[: LONGEST_LO - len(end)] + end

    @property
    def name(self) -> str:
        """Name of the algorithm, at most 64 characters."""
        return f"{MANUFACTURER} {self.study} {self.adapter}"[:LONGEST_LO]


def program_version() -> str:
    """The version of this program."""
    return version("concilium")
