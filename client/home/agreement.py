"""What a center has agreed to do: one study's settings, and no more work a round than the center allows."""

import json
import logging
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.errors import ConciliumError, OtherStudyError
from protocol.messages.instruction import Instruction
from protocol.messages.settings import settings_digest
from protocol.storage.atomic_files import write_private_text

logger = logging.getLogger(__name__)

MAXIMUM_STEPS = 100_000


class AgreementError(ConciliumError):
    """The file of what a center agreed to cannot be used."""

    code = "agreement"


class ExcessiveError(ConciliumError):
    """An instruction that asks for more work than the center allows, whatever the study's settings say."""

    code = "excessive"


class TrainerAgreement(BaseModel):
    """What binds the trainer of `protocol.enrolment.kit.StudyAgreement`, and who agreed to it ("": not said)."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    center: str = ""
    study: Annotated[str, Field(min_length=1)]
    title: str
    settings_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    rows: dict[str, str | tuple[str, ...]] = {}


ANY_STUDY = TrainerAgreement.model_construct(study="", title="", settings_sha256="")
"""What a trainer is bound to that was given no agreement."""


def read_agreement(path: Path) -> TrainerAgreement:
    """What the center agreed to when it joined.

    Raises:
        AgreementError: no such file, or it does not say which study with which settings.
    """
    try:
        return TrainerAgreement.model_validate_json(path.read_bytes())
    except OSError as error:
        raise AgreementError(
            f"the study's agreement {path} cannot be read ({error.strerror}); `concilium-center join` writes it, or "
            "leave out --terms to take instructions of any study"
        ) from error
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, found["loc"])) or "the text" for found in error.errors()}))
        raise AgreementError(
            f"the study's agreement {path} is not as `concilium-center join` writes it: {fields}; join again "
            "with the kit"
        ) from error


def write_agreement(path: Path, center: str, agreement: BaseModel) -> None:
    """Keep what `center` agreed to; `agreement` is the kit's, a `protocol.enrolment.kit.StudyAgreement`.

    Raises:
        StorageError: the disk refuses.
    """
    write_private_text(path, json.dumps({"center": center, **agreement.model_dump(mode="json")}, indent=1) + "\n")


def agreed_by(path: Path | None, center: str) -> TrainerAgreement:
    """What `center` agreed to, `ANY_STUDY` where no agreement is given. The log says which it is.

    Raises:
        AgreementError: as `read_agreement`, or it is another center's.
    """
    if path is None:
        logger.warning("no --terms: this trainer takes instructions of any study")
        return ANY_STUDY
    agreement = read_agreement(path)
    if agreement.center and agreement.center != center:
        raise AgreementError(
            f"the study's agreement {path} is that of center '{agreement.center}', this trainer is center '{center}'; "
            "correct --center, or give --terms of its own home"
        )
    logger.info(
        "this center agreed to study '%s' (%s), settings %s; instructions with others are refused",
        agreement.study,
        agreement.title,
        agreement.settings_sha256[:12],
    )
    return agreement


def check_agreed(instruction: Instruction, center: str, agreed: str, maximum_steps: int) -> None:
    """Refuse what the center has not agreed to.

    Args:
        instruction: what the coordinator asks.
        center: who is asked.
        agreed: `settings_digest` of the study the center agreed to; "" for any study.
        maximum_steps: most local steps of one round.

    Raises:
        OtherStudyError: the settings are not those that were agreed to.
        ExcessiveError: a round of more steps.
    """
    found = settings_digest(instruction.settings) if agreed else ""
    if found != agreed:
        raise OtherStudyError(
            f"center '{center}': the instruction comes with settings {found[:12]} of study "
            f"'{instruction.settings.study}', this center agreed to {agreed[:12]}; nothing was done. Ask the "
            "coordinator what was changed; a new kit is needed to agree to it"
        )
    steps = 0 if instruction.training is None else instruction.training.local_steps
    if steps > maximum_steps:
        raise ExcessiveError(
            f"center '{center}': round {instruction.server_round} of stage '{instruction.stage}' asks for {steps} "
            f"local steps, this center does at most {maximum_steps}; nothing was done. --maximum-steps allows more"
        )
