"""What of a study's tasks cannot be: EHR that nobody described, and stages whose centers lack what their task reads."""

from collections.abc import Iterator, Mapping, Sequence

from protocol.messages.labels import Labels
from protocol.messages.tensors import EHR
from protocol.modalities import IMAGES, parts_of
from server.study.stage import Center, Stage


def task_findings(stages: Sequence[Stage], centers: Mapping[str, Center], labels: Labels) -> Iterator[str]:
    """Every finding, with center or stage and what to do; all centers that the stages name are known."""
    offering = [name for name, center in centers.items() if EHR in center.modalities]
    if offering and not labels.covariates:
        yield (
            f"center(s) {offering} offer EHR, but the study describes no covariate; add [labels.covariates.NAME] for "
            "each column that may be read"
        )
    for stage in stages:
        asked = [name for name, share in stage.modality_shares.items() if share and EHR in parts_of(name)]
        if asked and not stage.reads_ehr:
            yield f"stage '{stage.name}' trains on {asked}, but task '{stage.task}' reads no EHR; leave them out"
        blind = [name for name in stage.centers if not set(centers[name].modalities) & set(IMAGES)]
        if blind and not stage.reads_ehr:
            yield f"stage '{stage.name}': task '{stage.task}' reads images, which center(s) {blind} do not offer"
