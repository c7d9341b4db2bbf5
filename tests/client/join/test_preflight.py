"""The checks before joining: each fault is made for real on loopback, and must be named with remedy and exit code."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from client.home.center_home import CenterHome, CenterSettings, agreement_of, only_instance
from client.join import site_checks
from client.join.findings import ok
from client.join.preflight import CHECKS, NODE_CHECKS, Result, examine, exit_code
from client.join.situation import Situation
from deploy.center.cli import app
from protocol.enrolment.kit import Kit
from tests.support.coordinator_stand_in import PROXY_VARIABLES, Certified, kit, server, tunnel
from tests.support.loopback import free_port, write_certificates

pytestmark = pytest.mark.network
CODES = {
    "kit": 10, "home": 21, "clock": 11, "name": 12, "port": 13, "proxy": 14, "tls": 15, "authentication": 16,
    "versions": 17, "data": 18, "gpu": 19, "disk": 20, "socket": 22,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return Certified(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def coordinator(certified: Certified) -> Iterator[int]:
    """A coordinator without a fault; nothing behind it answers."""
    with server(certified.key, certified.certificate) as port:
        yield port


def situation(folder: Path, of: Kit, authority: bytes, data: Path | None = None, **changes: Any) -> Situation:
    settings = CenterSettings(data=(data or folder / "data",), port=free_port() // 2 * 2)
    home = CenterHome(folder / "home")
    return Situation(
        home, ok("kit"), agreement_of(of), authority, settings, device="cpu", contact_timeout_s=3, **changes
    )


def found(of: Situation, *names: str) -> dict[str, Result]:
    """The results of the named checks, of those on the network where none is named."""
    wanted = names or ("clock", "name", "port", "proxy", "tls", "authentication")
    return {result.name: result for result in examine(of, [check for check in CHECKS if check.name in wanted])}


def first_failure(of: Situation) -> str:
    return next((name for name, result in found(of).items() if result.finding.status == "failed"), "")


def test_a_coordinator_without_fault_passes_every_check_of_the_network(
    tmp_path: Path, certified: Certified, coordinator: int
) -> None:
    results = found(situation(tmp_path, kit(f"localhost:{coordinator}"), certified.authority))
    assert [result.finding.status for result in results.values()] == ["ok"] * 5 + ["skipped"]


@pytest.mark.parametrize(("clock_s", "direction"), [(-86400, "ahead of"), (86400, "behind"), (-8, "ahead of")])
def test_a_clock_that_is_off_is_named_with_its_size_and_direction(
    tmp_path: Path, certified: Certified, clock_s: float, direction: str
) -> None:
    with server(certified.key, certified.certificate, clock_s=clock_s) as port:
        clock = found(situation(tmp_path, kit(f"localhost:{port}"), certified.authority))["clock"]
    assert clock.finding.status == "failed"
    assert direction in clock.finding.text
    assert ("24.0 hours" in clock.finding.text) == (abs(clock_s) == 86400)
    assert "NTP" in clock.finding.remedy


def test_a_clock_ten_seconds_behind_works(tmp_path: Path, certified: Certified) -> None:
    with server(certified.key, certified.certificate, clock_s=10) as port:
        clock = found(situation(tmp_path, kit(f"localhost:{port}"), certified.authority))["clock"]
    assert clock.finding.status == "ok"


def test_a_certificate_that_only_the_clock_makes_invalid_is_a_matter_of_the_clock(tmp_path: Path) -> None:
    """Made tomorrow, by a coordinator whose clock is right; this machine's is a day late."""
    tomorrow = Certified(tmp_path, days_ago=-1)
    with server(tomorrow.key, tomorrow.certificate, clock_s=86400) as port:
        results = found(situation(tmp_path, kit(f"localhost:{port}"), tomorrow.authority))
    assert results["tls"].finding.status == "skipped"
    assert exit_code(list(results.values())) == CODES["clock"]


def test_a_name_without_address_is_named(tmp_path: Path, certified: Certified) -> None:
    results = found(situation(tmp_path, kit("nowhere.invalid:443"), certified.authority))
    assert exit_code(list(results.values())) == CODES["name"]
    assert "nowhere.invalid" in results["name"].finding.text


def test_a_port_that_refuses_is_named(tmp_path: Path, certified: Certified) -> None:
    endpoint = f"127.0.0.1:{free_port()}"
    results = found(situation(tmp_path, kit(endpoint), certified.authority))
    assert exit_code(list(results.values())) == CODES["port"]
    assert endpoint in results["port"].finding.remedy


def test_a_service_without_tls_on_the_port_is_named(tmp_path: Path, certified: Certified) -> None:
    with server() as port:
        results = found(situation(tmp_path, kit(f"localhost:{port}"), certified.authority))
    assert exit_code(list(results.values())) == CODES["proxy"]
    assert "HTTP/1.0 403" in results["proxy"].finding.text


def test_a_proxy_that_opens_tls_is_named_with_its_authority(tmp_path: Path, certified: Certified) -> None:
    write_certificates(tmp_path)
    with server(tmp_path / "server.key", tmp_path / "server.pem") as port:
        results = found(situation(tmp_path, kit(f"localhost:{port}"), certified.authority))
    assert exit_code(list(results.values())) == CODES["proxy"]
    assert "'test authority'" in results["proxy"].finding.text


def test_a_coordinator_of_another_authority_is_a_matter_of_tls(tmp_path: Path, certified: Certified) -> None:
    other = Certified(tmp_path, name="another consortium")
    with server(other.key, other.certificate) as port:
        results = found(situation(tmp_path, kit(f"localhost:{port}"), certified.authority))
    assert exit_code(list(results.values())) == CODES["tls"]
    assert "another consortium" in results["tls"].finding.text


def test_an_expired_certificate_is_named_with_its_dates(tmp_path: Path) -> None:
    expired = Certified(tmp_path, days_ago=500)
    with server(expired.key, expired.certificate) as port:
        results = found(situation(tmp_path, kit(f"localhost:{port}"), expired.authority))
    assert exit_code(list(results.values())) == CODES["tls"]
    assert "out of date" in results["tls"].finding.text


def test_a_certificate_that_ends_within_a_month_is_a_warning(tmp_path: Path) -> None:
    """Made 380.5 days ago for 397 days, it has 16 whole days left."""
    ending = Certified(tmp_path, days_ago=380.5)
    with server(ending.key, ending.certificate) as port:
        tls = found(situation(tmp_path, kit(f"localhost:{port}"), ending.authority))["tls"]
    assert (tls.finding.status, "16 day(s)" in tls.finding.text) == ("warning", True)


def test_a_certificate_for_another_name_is_named(tmp_path: Path, certified: Certified) -> None:
    with server(certified.key, certified.certificate, host="127.0.0.2") as port:
        results = found(situation(tmp_path, kit(f"127.0.0.2:{port}"), certified.authority))
    assert exit_code(list(results.values())) == CODES["tls"]
    assert "not for '127.0.0.2'" in results["tls"].finding.text


def test_a_proxy_that_lets_nothing_through_is_named(
    tmp_path: Path, certified: Certified, coordinator: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server() as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        results = found(situation(tmp_path, kit(f"localhost:{coordinator}"), certified.authority))
    assert exit_code(list(results.values())) == CODES["proxy"]
    assert "403" in results["proxy"].finding.text


def test_a_proxy_that_lets_tls_through_is_used(
    tmp_path: Path, certified: Certified, coordinator: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tunnel() as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        results = found(situation(tmp_path, kit(f"localhost:{coordinator}"), certified.authority))
    assert results["tls"].finding.status == "ok"
    assert f"through 127.0.0.1:{port}" in results["proxy"].finding.text


def test_a_host_that_is_exempt_is_reached_without_the_proxy(
    tmp_path: Path, certified: Certified, coordinator: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "localhost")
    assert first_failure(situation(tmp_path, kit(f"localhost:{coordinator}"), certified.authority)) == ""


def test_a_coordinator_whose_study_does_not_answer_is_told_from_one_that_refuses(
    tmp_path: Path, certified: Certified, coordinator: int
) -> None:
    from client.node.node_key import provide_node_key

    of = situation(tmp_path, kit(f"localhost:{coordinator}"), certified.authority)
    provide_node_key(of.home.key)
    results = found(of)
    assert exit_code(list(results.values())) == CODES["authentication"]
    assert "the study behind it does not" in results["authentication"].finding.text


@pytest.mark.parametrize(
    ("change", "remedy"),
    [({"flower": "1.99"}, "flwr==1.99.*"), ({"concilium": "99.0.0"}, "install concilium 99.0.0")],
)
def test_other_versions_are_named_with_what_to_install(tmp_path: Path, change: dict[str, Any], remedy: str) -> None:
    of = kit("nowhere.invalid:443", **change)
    versions = found(situation(tmp_path, of, b""), "versions")["versions"]
    assert (versions.finding.status, remedy in versions.finding.remedy) == ("failed", True)


def folder_of(tmp_path: Path, fault: str) -> Path:
    """A data folder with a fault."""
    path = tmp_path / "data"
    if fault == "file":
        path.write_text("no folder")
    elif fault != "absent":
        path.mkdir()
    if fault == "broken":
        (path / "case-1").mkdir()
        (path / "case-1" / "ct.nii.gz").write_bytes(b"not an image")
    return path


@pytest.mark.parametrize(
    ("fault", "words"),
    [("absent", "is no folder"), ("file", "is no folder"), ("empty", "holds no case"), ("broken", "0 usable")],
)
def test_data_that_cannot_be_used_is_named(tmp_path: Path, fault: str, words: str) -> None:
    data = folder_of(tmp_path, fault)
    result = found(situation(tmp_path, kit("nowhere.invalid:443"), b"", data), "data")["data"]
    assert result.finding.status == "failed"
    assert words in result.finding.text


def test_fewer_cases_than_the_study_needs_are_counted(tmp_path: Path, cohort: Path) -> None:
    of = situation(tmp_path, kit("nowhere.invalid:443", minimum_cases=4), b"", cohort / "center-a")
    data = found(of, "data")["data"]
    assert data.finding.text == "3 case(s), 3 usable with a contour, the study needs 4"


def test_a_modality_the_study_expects_and_no_case_has_is_named(tmp_path: Path, cohort: Path) -> None:
    of = situation(tmp_path, kit("nowhere.invalid:443"), b"", cohort / "center-d")
    data = found(of, "data")["data"]
    assert "none with PET" in data.finding.text


def test_the_list_of_what_is_wrong_with_the_data_stays_in_the_home(tmp_path: Path) -> None:
    of = situation(tmp_path, kit("nowhere.invalid:443"), b"", folder_of(tmp_path, "broken"))
    of.home.make_folders()
    data = found(of, "data")["data"]
    assert "case-1" in (of.home.trainer / "data-check.txt").read_text()
    assert "case-1" not in data.line


def test_a_disk_that_is_too_small_is_named(tmp_path: Path) -> None:
    disk = found(situation(tmp_path, kit("nowhere.invalid:443", disk_bytes=1 << 60), b""), "disk")["disk"]
    assert (disk.finding.status, "larger disk" in disk.finding.remedy) == ("failed", True)


def test_a_study_made_for_a_gpu_warns_who_chose_the_cpu(tmp_path: Path) -> None:
    of = situation(tmp_path, kit("nowhere.invalid:443", gpu_memory_bytes=8 << 30), b"")
    assert found(of, "gpu")["gpu"].finding.status == "warning"


def test_a_gpu_that_is_too_small_or_not_there_is_named(tmp_path: Path) -> None:
    """A petabyte is more than any GPU has; where there is none, that is said instead."""
    of = kit("nowhere.invalid:443", gpu_memory_bytes=1 << 50)
    automatic = Situation(CenterHome(tmp_path), ok("kit"), agreement_of(of), device="auto")
    gpu = found(automatic, "gpu")["gpu"]
    assert (gpu.finding.status, "--device cpu" in gpu.finding.remedy) == ("failed", True)


def test_a_local_port_in_use_is_named(tmp_path: Path) -> None:
    of = situation(tmp_path, kit("nowhere.invalid:443"), b"")
    assert of.settings is not None
    with socket.create_server(("127.0.0.1", of.settings.port)):
        result = found(of, "socket")["socket"]
    assert (result.finding.status, str(of.settings.port) in result.finding.text) == ("failed", True)


def test_without_settings_the_ports_are_the_usual_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_checks, "_is_free", lambda _port: True)
    result = found(Situation(CenterHome(tmp_path), ok("kit")), "socket")["socket"]
    assert "ports 9094 and 9095" in result.finding.text


def test_little_main_memory_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_checks, "_available_memory", lambda: 3 << 30)
    result = found(situation(tmp_path, kit("nowhere.invalid:443"), b""), "gpu")["gpu"]
    assert (result.finding.status, "3 GiB of main memory free; 4 are" in result.finding.text) == ("warning", True)


def test_fewer_cases_than_may_stand_behind_what_leaves_are_a_warning(tmp_path: Path, cohort: Path) -> None:
    data = found(situation(tmp_path, kit("nowhere.invalid:443"), b"", cohort / "center-a"), "data")["data"]
    assert data.finding.status == "warning"
    assert "nothing leaves that stands on fewer than 5 (--minimum-cases)" in data.finding.text


def test_a_home_with_too_long_a_path_is_named(tmp_path: Path) -> None:
    result = found(situation(tmp_path / ("x" * 100), kit("nowhere.invalid:443"), b""), "socket")["socket"]
    assert (result.finding.status, "shorter" in result.finding.remedy) == ("failed", True)


def joined(tmp_path: Path, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of `join --dry-run`."""
    words = ["join", *map(str, arguments), "--home", str(tmp_path / "home"), "--dry-run", "--json", "--device", "cpu"]
    result = CliRunner().invoke(app, words)
    return result.exit_code, json.loads(result.stdout)


def test_a_dry_run_that_passes_exits_with_0_and_leaves_nothing_behind(
    tmp_path: Path, certified: Certified, coordinator: int, cohort: Path
) -> None:
    certified.write_kit(tmp_path / "a.kit", kit(f"localhost:{coordinator}"))
    code, table = joined(tmp_path, tmp_path / "a.kit", "--data", cohort / "center-a", "--port", str(free_port()))
    assert (code, table["exit_code"]) == (0, 0)
    assert not (tmp_path / "home").exists()


def test_the_exit_code_is_that_of_the_first_failure_and_every_check_is_told(
    tmp_path: Path, certified: Certified
) -> None:
    certified.write_kit(tmp_path / "a.kit", kit(f"127.0.0.1:{free_port()}", flower="1.99"))
    code, table = joined(tmp_path, tmp_path / "a.kit", "--data", tmp_path / "nowhere")
    assert code == CODES["port"]
    assert [row["check"] for row in table["checks"] if row["status"] == "failed"] == ["port", "versions", "data"]
    assert len(table["checks"]) == len(CHECKS)


def test_an_expired_kit_is_refused(tmp_path: Path, certified: Certified) -> None:
    certified.write_kit(tmp_path / "a.kit", kit("nowhere.invalid:443", days=-1))
    code, table = joined(tmp_path, tmp_path / "a.kit")
    assert code == CODES["kit"]
    assert "expired" in table["checks"][0]["text"]


def test_a_kit_with_a_changed_byte_is_refused(tmp_path: Path, certified: Certified) -> None:
    path = tmp_path / "a.kit"
    certified.write_kit(path, kit("nowhere.invalid:443"))
    path.write_bytes(path.read_bytes().replace(b"nowhere.invalid", b"nowhere.invalie", 1))
    code, _ = joined(tmp_path, path)
    assert code == CODES["kit"]


def test_a_second_instance_on_one_home_is_refused(tmp_path: Path, certified: Certified) -> None:
    certified.write_kit(tmp_path / "a.kit", kit("nowhere.invalid:443"))
    with only_instance(CenterHome(tmp_path / "home")):
        code, table = joined(tmp_path, tmp_path / "a.kit")
    assert code == CODES["home"]
    assert "in use" in table["checks"][1]["text"]


def test_the_token_is_in_no_output(tmp_path: Path, certified: Certified, coordinator: int) -> None:
    of = kit(f"localhost:{coordinator}")
    certified.write_kit(tmp_path / "a.kit", of)
    _, table = joined(tmp_path, tmp_path / "a.kit")
    assert of.token not in json.dumps(table)


def test_each_check_has_an_exit_code_of_its_own() -> None:
    assert {check.name: check.exit_code for check in CHECKS if check.exit_code} == CODES
    assert len(set(CODES.values())) == len(CODES)


@pytest.mark.parametrize("name", sorted(CODES))
def test_the_documents_tell_every_check_with_its_exit_code(repository: Path, name: str) -> None:
    text = (repository / "docs" / "joining.md").read_text()
    assert f"| {CODES[name]} | {name} |" in text


def test_the_network_side_looks_at_no_data() -> None:
    assert {check.name for check in CHECKS} - {check.name for check in NODE_CHECKS} == {
        "data", "gpu", "disk", "isolation",
    }  # fmt: skip


def test_no_test_here_ran_through_a_proxy_of_this_machine() -> None:
    assert not [name for name in PROXY_VARIABLES if name in os.environ]
