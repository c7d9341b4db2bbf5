"""The coordinator's commands as a person runs them; what they print is scanned for every secret there is."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import deploy.coordinator.cli  # noqa: F401 - adds `study init` to the commands
from protocol.enrolment.kit import read_kit
from server.centers.enrolment import Enrolment
from server.cli.app import app
from server.study.coordinator_settings import CoordinatorSettings, read_coordinator
from server.study.directory import StudyDirectory
from server.superlink.control import connect_to
from tests.support.enrolled_study import COORDINATOR, answer_to, new_key, write_coordinator_directory
from tests.support.loopback import Loopback
from tests.support.served_root import start_superlink

ENDPOINT = "fed.example.org:443"


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return write_coordinator_directory(tmp_path / "root")


def run(*arguments: object) -> tuple[int, str]:
    """Exit code, and all that was printed on one line: messages and tables are wrapped."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output.replace("\n", " ")


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_init_makes_a_directory_and_again_changes_no_byte(study_file: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    command = ("study", "init", study_file, "--out", root, "--endpoint", ENDPOINT, "--consortium", "North")
    code, output = run(*command)
    assert code == 0, output
    before = snapshot(root)
    assert (root.stat().st_mode & 0o777, (root / "link/superexec.secret").stat().st_mode & 0o777) == (0o700, 0o600)
    assert {"study.toml", "tensors.json", "initial.safetensors", "coordinator.toml", "authority/ca.crt"} <= set(before)
    assert read_coordinator(root / "coordinator.toml").consortium == "North"
    assert run(*command[:-2])[0] == 0
    assert snapshot(root) == before


def test_init_closes_a_folder_that_is_there_to_other_accounts(study_file: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir(mode=0o750)
    code, output = run("study", "init", study_file, "--out", root, "--endpoint", ENDPOINT)
    assert (code, root.stat().st_mode & 0o777) == (0, 0o700), output


def test_init_keeps_a_given_backbone_as_a_file_named_by_its_content(study_file: Path, tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    from deploy.study.prepare import initial_state
    from protocol.messages.tensors import content_hash
    from server.study.file import read_study

    specs, initial, _ = initial_state(read_study(study_file))
    given = {spec.key: np.add(initial[spec.key], 1) for spec in specs if spec.group == "backbone"}
    save_file(given, tmp_path / "b.safetensors")
    root = tmp_path / "root"
    code, output = run(
        *("study", "init", study_file, "--out", root, "--endpoint", ENDPOINT, "--backbone", tmp_path / "b.safetensors")
    )
    assert code == 0, output
    kept = root / "backbone" / f"{content_hash(given)}.safetensors"
    assert kept.read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--endpoint", "nowhere"), "'nowhere' is not of the form HOST:PORT"),
        (("--endpoint", "a:8500", "--consortium", "C" * 201), "consortium"),
    ],
)
def test_init_refuses_settings_before_it_makes_anything(
    study_file: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    code, output = run("study", "init", study_file, "--out", tmp_path / "root", *options)
    assert (code, message in output) == (1, True), output
    assert not (tmp_path / "root").exists()


def test_a_kit_is_written_and_its_token_never_shown(directory: StudyDirectory) -> None:
    code, output = run("enroll", "center-a", "--study", directory.root, "--days", "3")
    kit, _ = read_kit(directory.kits / "center-a.kit")
    assert code == 0
    assert str(directory.kits / "center-a.kit") in output
    assert (kit.expires_at - kit.issued_at).days == 3
    assert kit.token not in output


@pytest.mark.parametrize("arguments", [(), ("center-a", "--renew", "center-a")])
def test_enroll_does_one_thing_at_a_time(directory: StudyDirectory, arguments: tuple[str, ...]) -> None:
    code, output = run("enroll", *arguments, "--study", directory.root)
    assert (code, "give one of" in output) == (2, True)


def test_accepting_without_a_superlink_says_so_and_keeps_the_answer_in_the_registry(tmp_path: Path) -> None:
    directory = write_coordinator_directory(tmp_path / "root")
    run("enroll", "center-a", "--study", directory.root)
    answer = answer_to(directory.kits / "center-a.kit", new_key())
    code, output = run("enroll", "--accept", answer, "--study", directory.root)
    assert code == 1
    assert "its key is not registered yet" in output
    assert "concilium serve" in output
    assert Enrolment(directory).registry.member("center-a").state == "enrolled"


def test_a_renewed_certificate_is_another_one_by_the_same_authority(directory: StudyDirectory) -> None:
    before, certificate = snapshot(directory.authority), directory.server_certificate.read_bytes()
    code, output = run("certificate", "--renew", "--study", directory.root)
    assert code == 0
    assert "names: fed.example.org, localhost, 127.0.0.1" in output
    assert snapshot(directory.authority) == before
    assert directory.server_certificate.read_bytes() != certificate


def test_a_passphrase_of_the_authority_is_asked_for_and_never_shown(directory: StudyDirectory) -> None:
    words = ["certificate", "--study", str(directory.root)]
    locked = CliRunner().invoke(app, [*words, "--encrypt-authority"], input="a secret\na secret\n")
    renewed = CliRunner().invoke(app, [*words, "--renew"], input="a secret\n")
    wrong = CliRunner().invoke(app, [*words, "--renew"], input="another\n")
    assert (locked.exit_code, renewed.exit_code, wrong.exit_code) == (0, 0, 1)
    assert "a secret" not in locked.output + renewed.output
    assert b"ENCRYPTED" in directory.authority_key.read_bytes()


def test_certificates_are_shown_with_the_days_that_are_left(directory: StudyDirectory) -> None:
    before = snapshot(directory.root)
    code, output = run("certificate", "--study", directory.root)
    assert code == 0
    assert re.search(r"server: until \S+, 396 days; .*authority: until \S+, 3651 days", output)
    assert snapshot(directory.root) == before


def test_two_studies_share_an_authority_whose_key_is_in_neither(tmp_path: Path) -> None:
    shared = CoordinatorSettings.model_validate({**COORDINATOR.model_dump(), "authority": str(tmp_path / "authority")})
    roots = [write_coordinator_directory(tmp_path / name, shared).root for name in ("one", "two")]
    certificates = {(root / "authority" / "ca.crt").read_bytes() for root in roots}
    assert certificates == {(tmp_path / "authority" / "ca.crt").read_bytes()}
    assert not [path for root in roots for path in root.rglob("ca.key")]
    assert run("certificate", "--renew", "--study", roots[1])[0] == 0


def test_another_authority_under_the_same_name_is_refused(tmp_path: Path) -> None:
    shared = CoordinatorSettings.model_validate({**COORDINATOR.model_dump(), "authority": str(tmp_path / "authority")})
    root = write_coordinator_directory(tmp_path / "one", shared).root
    for path in (tmp_path / "authority").iterdir():
        path.unlink()
    write_coordinator_directory(tmp_path / "two", shared)
    code, output = run("certificate", "--renew", "--study", root)
    assert (code, "which the kits carry" in output) == (1, True), output


@pytest.mark.parametrize("command", [("centers",), ("certificate",), ("enroll", "center-a"), ("revoke", "center-a")])
def test_a_folder_that_is_no_coordinators_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    code, output = run(*command, "--study", tmp_path)
    assert code == 1
    assert "is no coordinator's directory" in output
    assert "study init" in output


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[StudyDirectory]:
    """A coordinator's directory and its SuperLink, which has the issued certificate."""
    loopback = Loopback(tmp_path_factory.mktemp("e"), repository)
    directory = write_coordinator_directory(tmp_path_factory.mktemp("f") / "root")
    try:
        start_superlink(loopback, directory)
        yield directory
    finally:
        loopback.stop()


@pytest.mark.slow
@pytest.mark.network
def test_a_membership_from_kit_to_revocation_prints_no_secret(federation: StudyDirectory) -> None:
    root = federation.root
    printed = [run("enroll", "center-a", "--study", root)]
    kit, _ = read_kit(federation.kits / "center-a.kit")
    answer = answer_to(federation.kits / "center-a.kit", new_key())
    printed += [run("enroll", "--accept", answer, "--study", root), run("centers", "--study", root)]
    with connect_to(federation) as c:
        registered = [(node.name, node.node_id) for node in c.nodes()]
        assert registered == [("center-a", Enrolment(federation).registry.member("center-a").node_id)]
        printed += [run("enroll", "--renew", "center-a", "--study", root), run("certificate", "--study", root)]
        printed += [run("revoke", "center-a", "--study", root), run("centers", "--study", root)]
        assert c.nodes() == ()
    refused = run("enroll", "--accept", answer, "--study", root)
    assert [code for code, _ in printed] == [0] * 7, printed
    assert (refused[0], "is revoked since it was sent this kit" in refused[1]) == (1, True)
    everything = " ".join(text for _, text in (*printed, refused))
    assert kit.token not in everything
    assert "PRIVATE KEY" not in everything
    assert Enrolment(federation).registry.member("center-a").fingerprint in everything
