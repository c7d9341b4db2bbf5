"""From a kit and options to what the checks look at: a dry run writes nothing, preparing writes what joining leaves."""

from pathlib import Path

import pytest

from client.home.center_home import CenterHome, HomeError, membership_of, only_instance, read_settings
from client.join.findings import ok
from client.join.situation import Situation
from deploy.center.start import Options, describe, examine_home, examine_node, keep_center_alive, prepare_home
from tests.support.coordinator_stand_in import Certified, kit
from tests.support.joined_home import ENDPOINT


@pytest.fixture(scope="module")
def kit_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kit")
    Certified(folder).write_kit(folder / "a.kit", kit(ENDPOINT))
    return folder / "a.kit"


@pytest.fixture
def home(tmp_path: Path) -> CenterHome:
    return CenterHome(tmp_path / "home")


def test_a_dry_run_knows_the_kit_and_writes_nothing(home: CenterHome, kit_file: Path, tmp_path: Path) -> None:
    found = examine_home(home, Options(kit_file, tmp_path), "")
    assert found.membership is not None
    assert (found.membership.center, found.kit_finding.status, found.home_error) == ("center-a", "ok", "")
    assert not home.root.exists()


def test_preparing_keeps_agreement_authority_and_settings_for_the_next_start(
    home: CenterHome, kit_file: Path, tmp_path: Path
) -> None:
    first = prepare_home(home, Options(kit_file, tmp_path, port=9200), "")
    again = prepare_home(home, Options(), "")
    assert (again.membership, again.authority, again.settings) == (first.membership, first.authority, first.settings)
    assert read_settings(home).port == 9200


def test_a_home_that_is_in_use_is_said_to_be_and_left_alone(home: CenterHome, kit_file: Path) -> None:
    assert prepare_home(home, Options(kit_file), "in use by another").home_error == "in use by another"
    assert not home.root.exists()


def test_an_older_kit_is_a_matter_of_the_home(home: CenterHome, kit_file: Path, tmp_path: Path) -> None:
    prepare_home(home, Options(kit_file), "")
    Certified(tmp_path / "authority").write_kit(tmp_path / "b.kit", kit(ENDPOINT, changes={"center": "center-b"}))
    assert "belongs to center 'center-a'" in prepare_home(home, Options(tmp_path / "b.kit"), "").home_error


def test_the_network_side_needs_a_home_that_has_joined(home: CenterHome, kit_file: Path) -> None:
    assert "join first" in examine_node(home, 9094, "").home_error
    prepare_home(home, Options(kit_file), "")
    found = examine_node(home, 9094, "")
    assert found.settings is not None
    assert (found.home_error, found.settings.data, found.settings.port) == ("", (), 9094)


def test_nothing_is_started_without_settings(home: CenterHome) -> None:
    with pytest.raises(HomeError, match="has no agreement or no settings; join with the kit and --data"):
        keep_center_alive(Situation(home, ok("kit"), membership_of(kit(ENDPOINT))))


def test_what_joining_means_is_told_in_one_line_with_its_bytes_a_round() -> None:
    line = describe(membership_of(kit(ENDPOINT)))
    assert line.startswith("study 'small' (A small study) of tests, model pemma-unetr-tiny")
    assert line.endswith("a round brings at most 1.0 MB and sends at most 500.0 kB")


def test_a_consortium_that_is_called_as_its_study_is_named_once() -> None:
    found = membership_of(kit(ENDPOINT))
    line = describe(found.model_copy(update={"consortium": found.agreement.title}))
    assert line.startswith("study 'small' (A small study), model")


def test_a_home_can_be_held_once(home: CenterHome) -> None:
    with only_instance(home), pytest.raises(HomeError, match="in use"), only_instance(home):
        pass
