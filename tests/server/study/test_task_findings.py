"""What of a study's tasks is refused: EHR that nobody described, or that a stage cannot learn from."""

from protocol.messages.labels import Category, Labels
from server.study.stage import Center, Stage
from server.study.task_findings import task_findings

DESCRIBED = Labels(covariates={"sex": Category(values=("f", "m"))})
CENTERS = {"scanner": Center(), "office": Center(modalities=("ehr",))}


def stage(**changes: object) -> Stage:
    fields = {"name": "s", "kind": "adapt", "rounds": 1, "local_steps": 1, "learning_rate": 1e-3, "task": "survival"}
    return Stage.model_validate({"centers": ("scanner", "office"), **fields, **changes})


def found(labels: Labels, **changes: object) -> list[str]:
    return list(task_findings([stage(**changes)], CENTERS, labels))


def test_a_stage_of_a_task_that_reads_ehr_takes_centers_without_an_image() -> None:
    assert found(DESCRIBED) == []


def test_ehr_without_a_covariate_is_refused_with_the_centers_that_offer_it() -> None:
    (finding,) = found(Labels())
    assert finding.startswith("center(s) ['office'] offer EHR, but the study describes no covariate")


def test_a_task_that_reads_images_refuses_centers_that_have_none_and_shares_of_ehr() -> None:
    shares, blind = found(DESCRIBED, task="segmentation", modality_shares={"ct+ehr": 0.5, "ehr": 0.0, "ct": 0.5})
    assert shares == "stage 's' trains on ['ct+ehr'], but task 'segmentation' reads no EHR; leave them out"
    assert blind == "stage 's': task 'segmentation' reads images, which center(s) ['office'] do not offer"
