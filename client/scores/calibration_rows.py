"""How sure a center's masks are, as it is kept (`client.scores.calibration_log` writes it), read back and checked.

{"schema": 1, "rows": [...], "seal": SHA-256}      calibration.json
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from client.scores.abstention import JudgedCase
from client.scores.calibration import Tenth
from protocol.errors import CaseError
from protocol.messages.base import Fraction, NonNegative, Settings
from protocol.modalities import ModalitySetting
from protocol.storage.regular_files import read_whole
from protocol.storage.sealed_json import unseal

CALIBRATION = "calibration.json"
SCHEMA = 1


class CaseRow(Settings):
    """A test case: its uncertainty in nats, and Dice; None where undefined."""

    case: str
    uncertainty: NonNegative | None
    dice: Fraction | None


class CalibrationRow(Settings):
    """One network on one input.

    adapter_sha256, backbone_sha256: of the network, as an adapter bank names them. temperature_range: lowest and
    highest when each validation case in turn is left out. coverage: what the threshold was chosen for.
    before, after: the reliability of test cases at a temperature of 1 and at `temperature`; `after` is empty without
    one. Uncertainties and threshold are at `temperature`, or at 1 where there is none.
    """

    stage: str
    modalities: ModalitySetting
    adapter_sha256: str
    backbone_sha256: str
    validation_cases: int
    temperature: float | None
    temperature_range: tuple[float, float] | None
    no_temperature: str
    threshold: float | None
    no_threshold: str
    coverage: Fraction
    before: tuple[Tenth, ...]
    after: tuple[Tenth, ...]
    cases: tuple[CaseRow, ...]

    @property
    def judged(self) -> list[JudgedCase]:
        """The test cases without their names."""
        return [JudgedCase(case.uncertainty, case.dice) for case in self.cases]


class _File(Settings):
    schema_: Literal[1] = Field(alias="schema")
    rows: tuple[CalibrationRow, ...]


def read_calibration(path: Path) -> tuple[CalibrationRow, ...]:
    """The rows of `calibration.json`, oldest stage first; none before the first.

    Raises:
        CaseError: the file is damaged.
    """
    if not path.exists():
        return ()
    try:
        return _File.model_validate(unseal(read_whole(path))).rows
    except (OSError, ValueError, TypeError, ValidationError) as error:
        raise CaseError(f"calibration {path} cannot be read ({error}); evaluate again to replace it") from error
