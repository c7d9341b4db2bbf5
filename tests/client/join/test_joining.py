"""What joining leaves in a home: keys, answers, agreement; and what never appears anywhere."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from client.home.center_home import CenterHome, HomeError, membership_of
from client.join.joining import find_membership, judge_kit, keep_settings, merge_settings, prepare, provide_backbone
from client.node.bundle_guard import read_accepted, write_accepted
from protocol.enrolment.answer import token_verifier
from protocol.enrolment.kit import Kit
from protocol.errors import KitError, ModelError
from protocol.messages.tensors import content_hash
from server.centers.kit_answers import member_after
from server.centers.registry import CenterRegistry, Member
from server.tls.authority import utc_now
from tests.support.coordinator_stand_in import TOKEN, kit
from tests.support.joined_home import AUTHORITY, ENDPOINT, answer_in, files_of, joined_home


@pytest.fixture
def home(tmp_path: Path) -> CenterHome:
    return joined_home(tmp_path / "home")


def later(serial: str = "d" * 32) -> Kit:
    """Another kit of the same center and study, issued after the first."""
    return kit(ENDPOINT, changes={"serial": serial, "issued_at": utc_now(), "token": "another-token" * 4})


def registry_with(of: Kit, **changes: object) -> CenterRegistry:
    """A coordinator's registry in which the center was invited with `of`."""
    member = Member(
        state="invited",
        serial=of.serial,
        token_verifier=token_verifier(of.token),
        kit_expires_at=of.expires_at,
        member_days=365,
    )
    return CenterRegistry(study=of.agreement.study, members={of.center: member.model_copy(update=changes)})


def test_the_coordinator_accepts_the_answer(home: CenterHome) -> None:
    member = member_after(registry_with(kit(ENDPOINT)), answer_in(home), utc_now())
    assert member.state == "enrolled"
    assert member.public_key == answer_in(home).public_key


def test_an_answer_of_another_key_under_the_same_proof_is_refused(home: CenterHome, tmp_path: Path) -> None:
    prepare(CenterHome(tmp_path / "other"), kit(ENDPOINT), AUTHORITY)
    forged = answer_in(home).model_copy(update={"public_key": answer_in(CenterHome(tmp_path / "other")).public_key})
    with pytest.raises(KitError, match="not made with the token"):
        member_after(registry_with(kit(ENDPOINT)), forged, utc_now())


def test_the_token_is_in_no_file_of_the_home(home: CenterHome) -> None:
    assert [name for name, data in files_of(home).items() if TOKEN.encode() in data] == []


def test_preparing_again_with_the_same_kit_keeps_the_key(home: CenterHome) -> None:
    before = home.key.read_bytes()
    prepare(home, kit(ENDPOINT), AUTHORITY)
    assert home.key.read_bytes() == before


def test_preparing_again_with_the_same_kit_keeps_the_bundles_that_were_accepted_since(home: CenterHome) -> None:
    first = read_accepted(home.bundles)
    write_accepted(home.bundles, first | {"e" * 64})
    prepare(home, kit(ENDPOINT), AUTHORITY)
    assert read_accepted(home.bundles) == first | {"e" * 64}


def test_a_newer_kit_ends_the_bundles_that_were_accepted_before(home: CenterHome) -> None:
    first = read_accepted(home.bundles)
    write_accepted(home.bundles, first | {"e" * 64})
    prepare(home, later(), AUTHORITY)
    assert read_accepted(home.bundles) == first


def test_a_newer_kit_makes_another_key_and_another_answer(home: CenterHome) -> None:
    """A coordinator takes no key again that it has turned away."""
    before, of = answer_in(home), later()
    home.node_id.write_text("5")
    prepare(home, of, AUTHORITY)
    assert answer_in(home).public_key != before.public_key
    assert member_after(registry_with(of), answer_in(home), utc_now()).state == "enrolled"
    assert not home.node_id.exists()


def test_an_older_kit_is_refused_and_changes_nothing(home: CenterHome) -> None:
    prepare(home, later(), AUTHORITY)
    before = files_of(home)
    with pytest.raises(HomeError, match="use the newer one"):
        prepare(home, kit(ENDPOINT), AUTHORITY)
    assert files_of(home) == before


@pytest.mark.parametrize(
    ("changes", "of_agreement"),
    [({"center": "center-b"}, {}), ({"consortium": "others"}, {}), ({}, {"study": "large"})],
)
def test_a_kit_of_another_center_study_or_consortium_is_refused(
    home: CenterHome, changes: dict[str, Any], of_agreement: dict[str, Any]
) -> None:
    before = files_of(home)
    with pytest.raises(HomeError, match="belongs to center 'center-a' of study 'small'"):
        prepare(home, kit(ENDPOINT, changes=changes, **of_agreement), AUTHORITY)
    assert files_of(home) == before


def test_a_later_start_needs_no_kit(home: CenterHome) -> None:
    found = find_membership(home, None)
    assert found is not None
    assert found.endpoint == ENDPOINT


def test_a_setting_that_is_not_given_again_is_kept(home: CenterHome, tmp_path: Path) -> None:
    first = merge_settings(
        home,
        center="center-a",
        data=tmp_path,
        modalities=("ct",),
        minimum_cases=5,
        maximum_steps=9,
    )
    assert first is not None
    keep_settings(home, first)
    second = merge_settings(home, center=None, data=None, modalities=(), minimum_cases=None, port=9200)
    assert second == first.model_copy(update={"port": 9200})


@pytest.mark.parametrize("name", ["absent.kit", ""])
def test_a_kit_that_cannot_be_opened_is_a_matter_of_the_path(home: CenterHome, tmp_path: Path, name: str) -> None:
    finding, _, _ = judge_kit(tmp_path / name, home, utc_now())
    assert (finding.status, finding.remedy) == ("failed", "check the path, and that this user may read the file")


def test_a_backbone_as_a_file_is_checked_against_the_agreement(home: CenterHome, tmp_path: Path) -> None:
    tensors = {"stem.weight": np.ones((2, 2), np.float32)}
    save_file(tensors, tmp_path / "file.safetensors")
    agreed = content_hash(tensors)
    membership = membership_of(kit(ENDPOINT, backbone_sha256=agreed))
    provide_backbone(home, membership, tmp_path / "file.safetensors")
    assert (home.trainer / "backbones" / "brought" / f"{agreed}.safetensors").exists()


@pytest.mark.parametrize(("agreed", "words"), [("", "leave out --backbone"), ("e" * 64, "content hash")])
def test_another_backbone_is_refused(home: CenterHome, tmp_path: Path, agreed: str, words: str) -> None:
    save_file({"stem.weight": np.ones(1, np.float32)}, tmp_path / "file.safetensors")
    with pytest.raises(ModelError, match=words):
        provide_backbone(home, membership_of(kit(ENDPOINT, backbone_sha256=agreed)), tmp_path / "file.safetensors")
