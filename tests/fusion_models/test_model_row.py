"""What a row of the table of models says of itself."""

from fusion_models.contract import Assessor, Fuser, Segmenter
from fusion_models.registry import MODELS


def test_a_row_is_for_the_roles_of_its_tasks() -> None:
    roles = (Segmenter, Assessor, Fuser)
    found = {name: [MODELS[name].is_for(role) for role in roles] for name in ("pemma-prognosis-tiny", "resenc-tiny")}
    assert found == {"pemma-prognosis-tiny": [True, True, False], "resenc-tiny": [True, False, False]}
    assert [MODELS["clinicalfmamba-2d-tiny"].is_for(role) for role in roles] == [False, False, True]


def test_only_a_row_of_masks_has_classes_of_a_mask() -> None:
    assert MODELS["resenc-tiny"].known_options["classes"] == 2
    assert "classes" not in MODELS["clinicalfmamba-3d-tiny"].known_options


def test_a_row_is_built_with_the_sizes_of_a_case_that_it_has() -> None:
    assert MODELS["pemma-prognosis-tiny"].case_sizes(3, 5) == {"outputs": 3, "covariates": 5}
    assert MODELS["multistage-tiny"].case_sizes(3, 5) == {"outputs": 3}
    assert MODELS["clinicalfmamba-2d-tiny"].case_sizes(3, 5) == {}


def test_pathway_modules_are_those_of_all_pathways() -> None:
    assert MODELS["resenc-tiny"].pathway_modules == ("pet_encoder", "pet_merge")
