"""The checks on the way to the coordinator: each fault is made for real on loopback, and named with its remedy."""

from pathlib import Path

import pytest

from client.join.preflight import exit_code
from tests.support.coordinator_stand_in import Certified, kit, server, tunnel
from tests.support.join_checks import CODES, check, first_failure, situation
from tests.support.loopback import free_port, write_certificates

pytestmark = pytest.mark.network


def test_a_coordinator_without_fault_passes_every_check_of_the_network(
    tmp_path: Path, certified: Certified, coordinator: int
) -> None:
    results = check(situation(tmp_path, kit(f"localhost:{coordinator}"), certified.authority))
    assert [result.finding.status for result in results.values()] == ["ok"] * 5 + ["skipped"]


@pytest.mark.parametrize(("clock_s", "direction"), [(-86400, "ahead of"), (86400, "behind"), (-8, "ahead of")])
def test_a_clock_that_is_off_is_named_with_its_size_and_direction(
    tmp_path: Path, certified: Certified, clock_s: float, direction: str
) -> None:
    with server(certified.key, certified.certificate, clock_s=clock_s) as port:
        clock = check(situation(tmp_path, kit(f"localhost:{port}"), certified.authority))["clock"]
    assert clock.finding.status == "failed"
    assert direction in clock.finding.text
    assert ("24.0 hours" in clock.finding.text) == (abs(clock_s) == 86400)
    assert "NTP" in clock.finding.remedy


def test_a_clock_ten_seconds_behind_works(tmp_path: Path, certified: Certified) -> None:
    with server(certified.key, certified.certificate, clock_s=10) as port:
        clock = check(situation(tmp_path, kit(f"localhost:{port}"), certified.authority))["clock"]
    assert clock.finding.status == "ok"


def test_a_certificate_that_only_the_clock_makes_invalid_is_a_matter_of_the_clock(tmp_path: Path) -> None:
    """Made tomorrow, by a coordinator whose clock is right; this machine's is a day late."""
    tomorrow = Certified(tmp_path, days_ago=-1)
    with server(tomorrow.key, tomorrow.certificate, clock_s=86400) as port:
        results = check(situation(tmp_path, kit(f"localhost:{port}"), tomorrow.authority))
    assert results["tls"].finding.status == "skipped"
    assert exit_code(list(results.values())) == CODES["clock"]


def test_a_name_without_address_is_named(tmp_path: Path, certified: Certified) -> None:
    results = check(situation(tmp_path, kit("nowhere.invalid:443"), certified.authority))
    assert exit_code(list(results.values())) == CODES["name"]
    assert "nowhere.invalid" in results["name"].finding.text


def test_a_port_that_refuses_is_named(tmp_path: Path, certified: Certified) -> None:
    endpoint = f"127.0.0.1:{free_port()}"
    results = check(situation(tmp_path, kit(endpoint), certified.authority))
    assert exit_code(list(results.values())) == CODES["port"]
    assert endpoint in results["port"].finding.remedy


def test_a_service_without_tls_on_the_port_is_named(tmp_path: Path, certified: Certified) -> None:
    with server() as port:
        results = check(situation(tmp_path, kit(f"localhost:{port}"), certified.authority))
    assert exit_code(list(results.values())) == CODES["proxy"]
    assert "HTTP/1.0 403" in results["proxy"].finding.text


def test_a_proxy_that_opens_tls_is_named_with_its_authority(tmp_path: Path, certified: Certified) -> None:
    write_certificates(tmp_path)
    with server(tmp_path / "server.key", tmp_path / "server.pem") as port:
        results = check(situation(tmp_path, kit(f"localhost:{port}"), certified.authority))
    assert exit_code(list(results.values())) == CODES["proxy"]
    assert "'test authority'" in results["proxy"].finding.text


def test_a_coordinator_of_another_authority_is_a_matter_of_tls(tmp_path: Path, certified: Certified) -> None:
    other = Certified(tmp_path, name="another consortium")
    with server(other.key, other.certificate) as port:
        results = check(situation(tmp_path, kit(f"localhost:{port}"), certified.authority))
    assert exit_code(list(results.values())) == CODES["tls"]
    assert "another consortium" in results["tls"].finding.text


def test_an_expired_certificate_is_named_with_its_dates(tmp_path: Path) -> None:
    expired = Certified(tmp_path, days_ago=500)
    with server(expired.key, expired.certificate) as port:
        results = check(situation(tmp_path, kit(f"localhost:{port}"), expired.authority))
    assert exit_code(list(results.values())) == CODES["tls"]
    assert "out of date" in results["tls"].finding.text


def test_a_certificate_that_ends_within_a_month_is_a_warning(tmp_path: Path) -> None:
    """Made 380.5 days ago for 397 days, it has 16 whole days left."""
    ending = Certified(tmp_path, days_ago=380.5)
    with server(ending.key, ending.certificate) as port:
        tls = check(situation(tmp_path, kit(f"localhost:{port}"), ending.authority))["tls"]
    assert (tls.finding.status, "16 day(s)" in tls.finding.text) == ("warning", True)


def test_a_certificate_for_another_name_is_named(tmp_path: Path, certified: Certified) -> None:
    with server(certified.key, certified.certificate, host="127.0.0.2") as port:
        results = check(situation(tmp_path, kit(f"127.0.0.2:{port}"), certified.authority))
    assert exit_code(list(results.values())) == CODES["tls"]
    assert "not for '127.0.0.2'" in results["tls"].finding.text


def test_a_proxy_that_lets_nothing_through_is_named(
    tmp_path: Path, certified: Certified, coordinator: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server() as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        results = check(situation(tmp_path, kit(f"localhost:{coordinator}"), certified.authority))
    assert exit_code(list(results.values())) == CODES["proxy"]
    assert "403" in results["proxy"].finding.text


def test_a_proxy_that_lets_tls_through_is_used(
    tmp_path: Path, certified: Certified, coordinator: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tunnel() as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        results = check(situation(tmp_path, kit(f"localhost:{coordinator}"), certified.authority))
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
    results = check(of)
    assert exit_code(list(results.values())) == CODES["authentication"]
    assert "the study behind it does not" in results["authentication"].finding.text
