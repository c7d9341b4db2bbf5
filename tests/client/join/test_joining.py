"""What joining leaves in a home: keys, answers, agreement; and what never appears anywhere."""

import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key
from flwr.supercore.constant import TASK_TYPE_TO_COMMAND
from safetensors.numpy import save_file
from typer.testing import CliRunner

from client.home.agreement import AgreementError, agreement_digest
from client.home.center_home import CenterHome, HomeError, agreement_of, read_center_agreement
from client.join.joining import find_agreement, judge_kit, keep_settings, merge_settings, prepare, provide_backbone
from client.node.bundle_guard import read_accepted, write_accepted
from client.node.node_key import adopt_next_key, read_node_key
from client.node.renewal import prepare_renewal
from deploy.center.cli import app
from deploy.center.programs import node_programs, trainer_program
from protocol.enrolment.answer import RENEWAL, EnrolmentAnswer, read_answer, token_verifier
from protocol.enrolment.kit import Kit
from protocol.errors import KitError, ModelError
from protocol.messages.tensors import content_hash
from server.centers.keys import has_signed
from server.centers.kit_answers import member_after
from server.centers.registry import CenterRegistry, Member
from server.tls.authority import utc_now
from tests.support.coordinator_stand_in import TOKEN, Certified, kit

ENDPOINT = "nowhere.invalid:443"
AUTHORITY = b"an authority's certificate"


@pytest.fixture
def home(tmp_path: Path) -> CenterHome:
    """A home that was prepared with a kit."""
    found = CenterHome(tmp_path / "home")
    prepare(found, kit(ENDPOINT), AUTHORITY)
    return found


def later(serial: str = "d" * 32) -> Kit:
    """Another kit of the same center and study, issued after the first."""
    return kit(ENDPOINT, changes={"serial": serial, "issued_at": utc_now(), "token": "another-token" * 4})


def registry_with(of: Kit, **changes: object) -> CenterRegistry:
    """A coordinator's registry on which the center was invited with `of`."""
    member = Member(
        state="invited",
        serial=of.serial,
        token_verifier=token_verifier(of.token),
        kit_expires_at=of.expires_at,
        member_days=365,
    )
    return CenterRegistry(study=of.agreement.study, members={of.center: member.model_copy(update=changes)})


def answer_in(home: CenterHome) -> EnrolmentAnswer:
    return read_answer(home.answer("center-a"))


def files_of(home: CenterHome) -> dict[str, bytes]:
    return {str(path.relative_to(home.root)): path.read_bytes() for path in home.root.rglob("*") if path.is_file()}


def test_the_key_is_on_the_curve_flower_takes(home: CenterHome) -> None:
    key = load_ssh_private_key(home.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp384r1"


@pytest.mark.parametrize("name", ["key", "superexec.secret"])
def test_secrets_are_for_their_owner_alone(home: CenterHome, name: str) -> None:
    assert stat.S_IMODE((home.node / name).stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["", "node", "trainer", "run"])
def test_the_folders_are_for_their_owner_alone(home: CenterHome, name: str) -> None:
    assert stat.S_IMODE((home.root / name).stat().st_mode) == 0o700


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


def test_the_private_key_is_in_no_other_file(home: CenterHome) -> None:
    body = home.key.read_bytes().splitlines()[1]
    assert [name for name, data in files_of(home).items() if body in data] == ["node/key"]


def test_the_public_key_in_the_answer_belongs_to_the_private_one(home: CenterHome) -> None:
    public = load_ssh_public_key(answer_in(home).public_key.encode())
    assert public == read_node_key(home.key).public_key()


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


def test_another_studys_kit_has_its_exit_code(home: CenterHome, tmp_path: Path) -> None:
    Certified(tmp_path / "authority").write_kit(tmp_path / "b.kit", kit(ENDPOINT, study="large"))
    words = ["join", str(tmp_path / "b.kit"), "--home", str(home.root), "--dry-run", "--device", "cpu"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 21
    assert "belongs to center 'center-a' of study 'small'" in result.stdout


def test_joining_prints_neither_token_nor_key(tmp_path: Path) -> None:
    Certified(tmp_path / "authority").write_kit(tmp_path / "a.kit", kit(ENDPOINT))
    words = ["join", str(tmp_path / "a.kit"), "--home", str(tmp_path / "home"), "--prepare", "--device", "cpu"]
    result = CliRunner().invoke(app, words)
    private = (tmp_path / "home" / "node" / "key").read_text().splitlines()[1]
    assert result.exit_code == 12
    assert TOKEN not in result.output
    assert private not in result.output


def test_a_renewed_key_is_signed_by_the_one_in_use(home: CenterHome) -> None:
    in_use = answer_in(home).public_key
    prepare_renewal(home)
    renewal = answer_in(home)
    assert renewal.serial == RENEWAL
    assert has_signed(in_use, renewal.proof, renewal.message)


def test_renewal_leaves_the_key_in_use_until_it_is_adopted(home: CenterHome) -> None:
    before = home.key.read_bytes()
    prepare_renewal(home)
    following = home.next_key.read_bytes()
    assert home.key.read_bytes() == before
    adopt_next_key(home)
    assert (home.key.read_bytes(), home.next_key.exists()) == (following, False)


def test_asking_twice_for_renewal_asks_for_the_same_key(home: CenterHome) -> None:
    prepare_renewal(home)
    first = answer_in(home).public_key
    prepare_renewal(home)
    assert answer_in(home).public_key == first


def test_the_next_key_is_for_its_owner_alone(home: CenterHome) -> None:
    prepare_renewal(home)
    assert stat.S_IMODE(home.next_key.stat().st_mode) == 0o600


def test_renewal_without_a_joined_home_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="join first"):
        prepare_renewal(CenterHome(tmp_path))


def test_the_agreement_is_kept_without_the_token(home: CenterHome) -> None:
    assert read_center_agreement(home) == agreement_of(
        kit(ENDPOINT, changes={"issued_at": read_center_agreement(home).issued_at})
    )


def test_a_later_start_needs_no_kit(home: CenterHome) -> None:
    found = find_agreement(home, None)
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
        port=None,
        device=None,
    )
    assert first is not None
    keep_settings(home, first)
    second = merge_settings(
        home, center=None, data=None, modalities=(), minimum_cases=None, maximum_steps=None, port=9200, device=None
    )
    assert second == first.model_copy(update={"port": 9200})


def test_the_trainers_agreement_says_whose_it_is(home: CenterHome) -> None:
    agreed = kit(ENDPOINT).agreement.settings_sha256
    assert agreement_digest(home.trainer_agreement, "center-a") == agreed
    with pytest.raises(AgreementError, match="that of center 'center-a', this trainer is center 'center-b'"):
        agreement_digest(home.trainer_agreement, "center-b")


@pytest.mark.parametrize("name", ["absent.kit", ""])
def test_a_kit_that_cannot_be_opened_is_a_matter_of_the_path(home: CenterHome, tmp_path: Path, name: str) -> None:
    finding, _, _ = judge_kit(tmp_path / name, home, utc_now())
    assert (finding.status, finding.remedy) == ("failed", "check the path, and that this user may read the file")


def test_a_backbone_as_a_file_is_checked_against_the_agreement(home: CenterHome, tmp_path: Path) -> None:
    tensors = {"stem.weight": np.ones((2, 2), np.float32)}
    save_file(tensors, tmp_path / "file.safetensors")
    agreed = content_hash(tensors)
    agreement = agreement_of(kit(ENDPOINT, backbone_sha256=agreed))
    provide_backbone(home, agreement, tmp_path / "file.safetensors")
    assert (home.trainer / "backbones" / f"{agreed}.safetensors").exists()


@pytest.mark.parametrize(("agreed", "words"), [("", "leave out --backbone"), ("e" * 64, "content hash")])
def test_another_backbone_is_refused(home: CenterHome, tmp_path: Path, agreed: str, words: str) -> None:
    save_file({"stem.weight": np.ones(1, np.float32)}, tmp_path / "file.safetensors")
    with pytest.raises(ModelError, match=words):
        provide_backbone(home, agreement_of(kit(ENDPOINT, backbone_sha256=agreed)), tmp_path / "file.safetensors")


def test_no_program_of_the_network_side_is_told_where_data_lie(home: CenterHome) -> None:
    for program in node_programs(home, read_center_agreement(home), 9094):
        assert str(home.trainer) not in " ".join([*program.command, *program.environment.values()])


def test_every_program_is_kept_from_calling_home(home: CenterHome) -> None:
    programs = (trainer_program(home, ()), *node_programs(home, read_center_agreement(home), 9094))
    assert {program.environment["FLWR_TELEMETRY_ENABLED"] for program in programs} == {"0"}
    assert {program.environment["FLWR_DISABLE_UPDATE_CHECK"] for program in programs} == {"1"}


def test_calls_on_this_machine_go_through_no_proxy(home: CenterHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet.example.org")
    program = node_programs(home, read_center_agreement(home), 9094)[0]
    assert program.environment["NO_PROXY"] == "intranet.example.org,127.0.0.1,localhost"


def test_superexec_can_start_nothing_but_the_guarded_app(home: CenterHome) -> None:
    executor = node_programs(home, read_center_agreement(home), 9094)[1]
    commands = {path.name: path.read_text() for path in Path(executor.environment["PATH"]).iterdir()}
    assert set(commands) == set(TASK_TYPE_TO_COMMAND.values())
    assert [name for name, text in commands.items() if "client.node.clientapp" in text] == ["flwr-clientapp"]
