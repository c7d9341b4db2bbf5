"""Whether a study's training can guarantee its patients privacy at all, as far as its file and its network say.

All of it is refused before a case is read. A module that mixes the rows of a batch, or keeps statistics of the batches
that it saw, carries one patient into the gradient of another, or past the noise.
"""

from collections.abc import Iterable
from functools import lru_cache

from torch import nn

from client.learning.assembly import build, row_of
from fusion_models.outline import outline
from protocol.errors import PrivacyError
from protocol.messages.settings import StudySettings, Training
from strategies.continual.private_rounds import private_findings

MIXES_ROWS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
KEEPS_STATISTICS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
FEW = 3


def check_private_study(settings: StudySettings, center: str, trainings: Iterable[Training]) -> None:
    """Refuse what cannot be private; a study without [privacy] may ask for anything.

    Args:
        settings: of the study.
        center: who is asked.
        trainings: what its rounds train.

    Raises:
        PrivacyError: names all that cannot be, each with what to write.
    """
    if settings.privacy is None:
        return
    found = [*mixing_findings(settings.model_dump_json())]
    for training in trainings:
        found += private_findings(settings, training.groups, training.terms)
    if found:
        told = "; ".join(dict.fromkeys(found))
        raise PrivacyError(f"center '{center}': study '{settings.study}' cannot keep its [privacy]: {told}")


@lru_cache(maxsize=8)
def mixing_findings(settings_json: str) -> tuple[str, ...]:
    """The modules of a study's network that see more than one patient, in one sentence; none where there are none."""
    settings = StudySettings.model_validate_json(settings_json)
    network = outline(lambda: build(settings, row_of(settings)))
    found = [f"{name} ({type(module).__name__})" for name, module in network.named_modules() if mixes(module)]
    if not found:
        return ()
    more = f" and {len(found) - FEW} more" if len(found) > FEW else ""
    where = f"model '{settings.model.name}' normalises over a batch in {', '.join(found[:FEW])}{more}"
    return (f"{where}, where one patient changes another's gradient; choose a norm of single images in its options",)


def mixes(module: nn.Module) -> bool:
    """Whether a module sees more of a batch than one row at a time."""
    return isinstance(module, MIXES_ROWS) or (isinstance(module, KEEPS_STATISTICS) and bool(module.track_running_stats))
