"""What a center has agreed to do: one study, as its plan has it, and no more work a round than the center allows."""

import json
import logging
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from client.home.plan_check import check_planned
from protocol.enrolment.plan import StudyPlan, check_digest
from protocol.errors import ConciliumError
from protocol.messages.instruction import Instruction
from protocol.messages.settings import StudySettings
from protocol.storage.atomic_files import write_private
from protocol.storage.regular_files import read_whole
from protocol.storage.sealed_json import seal, unseal_if_sealed

logger = logging.getLogger(__name__)

MAXIMUM_STEPS = 100_000
MAXIMUM_QUERIES = 20_000


class AgreementError(ConciliumError):
    """The file of what a center agreed to cannot be used."""

    code = "agreement"


class ExcessiveError(ConciliumError):
    """An instruction that asks for more work than the center allows, whatever the study's settings say."""

    code = "excessive"


class TrainerAgreement(BaseModel):
    """What binds the trainer of `protocol.enrolment.kit.StudyAgreement`, and who agreed to it ("": not said).

    authority: certificate (PEM) of the study's authority, as the kit had it; it vouches for the other centers' keys.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    center: str = ""
    study: Annotated[str, Field(min_length=1)]
    title: str
    settings: StudySettings
    plan: StudyPlan
    agreed_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    rows: dict[str, str | tuple[str, ...]] = {}
    authority: str = ""

    @model_validator(mode="after")
    def _agreed_has_its_digest(self) -> Self:
        check_digest(self.settings, self.plan, self.agreed_sha256)
        return self


def read_agreement(path: Path) -> TrainerAgreement:
    """What the center agreed to when it joined.

    Raises:
        AgreementError: no such file, or it does not say which study, with which settings and which plan.
    """
    try:
        return TrainerAgreement.model_validate_json(json.dumps(unseal_if_sealed(read_whole(path))))
    except OSError as error:
        raise AgreementError(
            f"the study's agreement {path} cannot be read ({error.strerror}); `concilium-center join` writes it, or "
            "leave out --terms to take instructions of any study"
        ) from error
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, found["loc"])) or "the text" for found in error.errors()}))
        raise AgreementError(
            f"the study's agreement {path} is not as `concilium-center join` writes it: {fields}; join again "
            "with the kit, or with a new one where an earlier version of concilium wrote it"
        ) from error
    except ValueError as error:
        raise AgreementError(
            f"the study's agreement {path} is not as `concilium-center join` writes it: the text; join again with the "
            f"kit ({error})"
        ) from error


def write_agreement(path: Path, center: str, agreement: BaseModel, authority_pem: str = "") -> None:
    """Keep what `center` agreed to, and the certificate of the authority that stands behind it.

    Args:
        path: the file.
        center: who agreed.
        agreement: the kit's, a `protocol.enrolment.kit.StudyAgreement`.
        authority_pem: the kit's.

    Raises:
        StorageError: the disk refuses.
    """
    write_private(path, seal({"center": center, "authority": authority_pem, **agreement.model_dump(mode="json")}))


def agreed_by(path: Path | None, center: str) -> TrainerAgreement | None:
    """What `center` agreed to; None, which is any study, where no agreement is given. The log says which it is.

    Raises:
        AgreementError: as `read_agreement`, or it is another center's.
    """
    if path is None:
        logger.warning("no --terms: this trainer takes instructions of any study")
        return None
    agreement = read_agreement(path)
    if agreement.center and agreement.center != center:
        raise AgreementError(
            f"the study's agreement {path} is that of center '{agreement.center}', this trainer is center '{center}'; "
            "correct --center, or give --terms of its own home"
        )
    logger.info(
        "this center agreed to study '%s' (%s), settings and plan %s; what they do not have is refused",
        agreement.study,
        agreement.title,
        agreement.agreed_sha256[:12],
    )
    return agreement


def check_agreed(instruction: Instruction, center: str, agreement: TrainerAgreement | None, maximum_steps: int) -> None:
    """Refuse what the center has not agreed to.

    Args:
        instruction: what the coordinator asks.
        center: who is asked.
        agreement: what the center agreed to; None takes instructions of any study.
        maximum_steps: most local steps of one round.

    Raises:
        OtherStudyError: the settings are not those that were agreed to, or the plan has no such instruction.
        ExcessiveError: a round of more steps.
    """
    if agreement is not None:
        check_planned(instruction, center, agreement.settings, agreement.plan)
    steps = 0 if instruction.training is None else instruction.training.local_steps
    if steps > maximum_steps:
        raise ExcessiveError(
            f"center '{center}': round {instruction.server_round} of stage '{instruction.stage}' asks for {steps} "
            f"local steps, this center does at most {maximum_steps}; nothing was done. --maximum-steps allows more"
        )
