"""One coordinator and four centers, each a host of its own: enrol, join, launch, three stages, and who is refused.

Everything runs once, over TLS with registered keys and through the proxy, in network namespaces; the tests look at what
came out and then knock at what still runs. The last ones end memberships and runs, so the order in this file matters.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from protocol.enrolment.kit import read_kit
from server.centers.kit_signing import open_kit_signer
from tests.rehearsal.consortium import BIN, COORDINATOR, PORT, SINK, Consortium
from tests.rehearsal.network import Network, missing_for_namespaces
from tests.rehearsal.rehearsed_study import CANARY, CANARY_CENTER, NAMES, REFERENCE, Rehearsed, rehearse, run_join
from tests.rehearsal.sink import read_calls
from tests.support.coordinator_stand_in import Certified
from tests.support.loopback import write_node_key

LACKING = missing_for_namespaces() or ("" if shutil.which("nginx") else "nginx is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.skipif(bool(LACKING) and not os.environ.get("CONCILIUM_CI"), reason=f"no federation here: {LACKING}"),
]
ASK = """
import json, ssl, sys, urllib.error, urllib.request
found, trust = {}, ssl.create_default_context(cafile=sys.argv[2])
for path in sys.argv[3:]:
    request = urllib.request.Request(f"https://{sys.argv[1]}{path}", data=b"" if path.startswith("/v1/") else None)
    try:
        with urllib.request.urlopen(request, context=trust, timeout=20) as answer:
            found[path] = answer.status
    except urllib.error.HTTPError as error:
        found[path] = error.code
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def rehearsed() -> Iterator[Rehearsed]:
    """The finished study; its hosts and programs run until the last test of this file. Sockets need a short path."""
    assert not LACKING, LACKING
    with tempfile.TemporaryDirectory(prefix="fed-") as folder, Network([COORDINATOR, *NAMES, SINK], sink=SINK) as hosts:
        consortium = Consortium(hosts, Path(folder))
        try:
            yield rehearse(consortium)
        finally:
            consortium.stop()


def test_the_study_is_complete_with_every_center_in_its_rounds(rehearsed: Rehearsed) -> None:
    """Two centers pretrain, three adapt, the fourth arrives; nobody is missing."""
    result = rehearsed.consortium.result()
    assert result["status"] == "complete", rehearsed.consortium.logs()
    rounds = [(row["stage"], row["center"], row["error"]) for row in result["rounds"]]
    expected = [("pretrain", name, "") for name in NAMES[:2]] + [("adapt", name, "") for name in NAMES[:3]]
    assert rounds == [*expected, ("arrive", NAMES[3], "")]


def test_the_bank_is_that_of_one_machine_hash_by_hash(rehearsed: Rehearsed) -> None:
    """Four hosts, TLS, the proxy, a foreign run and a stop in between change nothing of the arithmetic."""
    consortium = rehearsed.consortium
    assert consortium.running[REFERENCE].wait(timeout=300) == 0, consortium.log(REFERENCE).read_text()
    here = json.loads((consortium.folder / REFERENCE / "out" / "result.json").read_text())
    assert consortium.result()["bank"] == here["bank"]


def test_the_report_names_every_center(rehearsed: Rehearsed) -> None:
    page = rehearsed.consortium.directory.report.read_text()
    assert all(name in page for name in NAMES)


def test_a_dry_run_makes_no_key_and_no_home(rehearsed: Rehearsed) -> None:
    """Before it joins, an engineer sees that everything but the key is there; nothing was written."""
    code, printed = rehearsed.dry
    assert code == 0, printed
    assert "there is no key yet" in printed
    assert rehearsed.home_before == []


@pytest.mark.parametrize("center", NAMES)
def test_a_center_that_is_not_accepted_yet_is_prepared(rehearsed: Rehearsed, center: str) -> None:
    code, printed = rehearsed.prepared[center]
    assert code == 0, printed
    assert "warning  authentication" in printed


def test_status_shows_stage_round_and_centers_while_the_study_runs(rehearsed: Rehearsed) -> None:
    first, second = rehearsed.while_running
    assert (first["wanted"], first["stage"], first["rounds"]) == ("running", "pretrain", 3)
    assert (second["state"], second["stage"], second["server_round"]) == ("running", "adapt", 1)
    assert {center["name"]: center["online"] for center in second["centers"]} == dict.fromkeys(NAMES, True)


def test_progress_of_each_center_is_known_at_the_end(rehearsed: Rehearsed) -> None:
    """The round each center trained last, with its loss and no error."""
    centers = rehearsed.consortium.progress()["centers"]
    assert {name: (heard["server_round"], heard["error"]) for name, heard in centers.items()} == {
        "center-a": (2, ""),
        "center-b": (2, ""),
        "center-c": (2, ""),
        "center-d": (3, ""),
    }
    assert all(isinstance(heard["loss"], float) for heard in centers.values())


def test_each_center_wrote_down_what_left_before_it_left(rehearsed: Rehearsed) -> None:
    """A training reply of every round that a center took part in, with its size and hash, in its own log."""
    for name in NAMES:
        log = rehearsed.consortium.home(name) / "trainer" / "outgoing.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        trained = [line["server_round"] for line in lines if line["kind"] == "train" and not line["error"]]
        rounds = [row["server_round"] for row in rehearsed.consortium.result()["rounds"] if row["center"] == name]
        assert trained == rounds
        assert all(line["bytes"] > 0 for line in lines if line["kind"] == "train" and not line["error"])


def test_another_bundle_is_refused_by_name_at_every_center(rehearsed: Rehearsed) -> None:
    """A run with code of its own, at a coordinator that was taken over: no center ran it, and each said why."""
    assert set(rehearsed.tampered) == set(NAMES)
    assert all("bundle-refused" in answer for answer in rehearsed.tampered.values()), rehearsed.tampered
    assert not Path("/tmp/tampered-code-ran").exists()


def test_only_the_fleet_paths_answer_from_outside(rehearsed: Rehearsed) -> None:
    """From a center's host, with the right authority: Flower's control, runtime and pages are forbidden."""
    forbidden = ["/v1/control/list-runs", "/v1/control/start-run", "/v1/control/register-node"]
    forbidden += ["/v1/runtime/acquire-task", "/v1/runtime/pull-messages", "/docs", "/openapi.json", "/health", "/"]
    forbidden += [
        "/v1/fleet/../control/list-runs",
        "/v1/fleet/%2e%2e/control/list-runs",
        "//v1/control/list-runs",
    ]
    fleet = "/v1/fleet/pull-messages"
    ca = rehearsed.consortium.directory.authority_certificate
    found = json.loads(
        rehearsed.consortium.python("center-a", ASK, rehearsed.consortium.endpoint, ca, *forbidden, fleet)
    )
    reached = found.pop(fleet)
    assert found == dict.fromkeys(forbidden, 403)
    assert reached not in {200, 403, 404}, "an unsigned call reaches Flower, which turns it away itself"


def test_a_coordinator_listens_on_one_port_for_others(rehearsed: Rehearsed) -> None:
    """The SuperLink's own port is on loopback: from a center nothing answers there."""
    listening = rehearsed.consortium.run(COORDINATOR, ["ss", "-Htln"]).stdout
    addresses = {line.split()[3] for line in listening.splitlines()}
    assert {address for address in addresses if not address.startswith("127.")} <= {f"0.0.0.0:{PORT}", f"[::]:{PORT}"}


def test_an_unenrolled_node_is_turned_away(rehearsed: Rehearsed, tmp_path: Path) -> None:
    """A SuperNode with a good key that nobody registered ends by itself; Flower's exit code says so."""
    write_node_key(tmp_path, "stranger")
    code, printed = supernode(rehearsed, tmp_path / "stranger", rehearsed.consortium.directory.authority_certificate)
    assert code != 0
    assert "305" in printed, printed


def test_a_coordinator_signed_by_another_authority_is_not_trusted(rehearsed: Rehearsed, tmp_path: Path) -> None:
    """A kit whose certificate authority is not the coordinator's: TLS fails, with its own exit code."""
    kit, _ = read_kit(rehearsed.kits["center-a"])
    Certified(tmp_path / "other", days_ago=1, name="other").write_kit(tmp_path / "other.kit", kit)
    code, printed = join_anew(rehearsed, tmp_path, tmp_path / "other.kit")
    assert code == 15, printed
    assert "failed   tls" in printed


def test_an_expired_kit_is_refused(rehearsed: Rehearsed, tmp_path: Path) -> None:
    kit, _ = read_kit(rehearsed.kits["center-a"])
    past = datetime.now(UTC) - timedelta(minutes=1)
    signer = open_kit_signer(rehearsed.consortium.directory, past)
    signer.sign(tmp_path / "old.kit", kit.model_copy(update={"expires_at": past}))
    code, printed = join_anew(rehearsed, tmp_path, tmp_path / "old.kit")
    assert code == 10, printed
    assert "expired" in printed


def test_the_patient_is_known_at_the_center(rehearsed: Rehearsed) -> None:
    """So that the next test can fail: the name is in the manifest, and in the text of an error that scoring raised."""
    trainer = rehearsed.consortium.home(CANARY_CENTER) / "trainer"
    assert CANARY in (trainer / "manifest.json").read_text()
    log = (trainer / "trainer.log").read_text().splitlines()
    assert any(CANARY in line and "Error" in line for line in log)
    lines = [json.loads(line) for line in (trainer / "outgoing.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines if line["kind"] == "evaluate" and line["error"]] == ["pretrain"]


def test_the_patient_is_named_nowhere_outside_the_center(rehearsed: Rehearsed) -> None:
    """No file of the coordinator or of another center holds the name: database, logs, MLflow, result, report, kits."""
    folder = rehearsed.consortium.folder
    logs = (folder / "log" / f"{name}.log" for name in (f"join-{CANARY_CENTER}", REFERENCE))
    own = (folder / "data", folder / CANARY_CENTER, folder / REFERENCE, folder / "user" / CANARY_CENTER, *logs)
    looked_at = [path for path in folder.rglob("*") if path.is_file() and not any(map(path.is_relative_to, own))]
    names = {path.name for path in looked_at}
    assert {"link.db", "result.json", "report.html", "mlflow.db", "progress.json", "access.log"} <= names
    assert [path for path in looked_at if CANARY.encode() in path.read_bytes()] == []


def test_no_private_key_left_its_center(rehearsed: Rehearsed) -> None:
    """Each center's private key is one file, at the center, readable by its owner alone."""
    for name in NAMES:
        key = rehearsed.consortium.home(name) / "node" / "key"
        assert key.stat().st_mode & 0o777 == 0o600
        answer = (rehearsed.consortium.home(name) / f"{name}.answer").read_bytes()
        assert b"PRIVATE" not in answer
        assert read_kit(rehearsed.kits[name])[0].token.encode() not in answer


def test_nobody_called_home(rehearsed: Rehearsed) -> None:
    """A whole study, enrolment to report: no name asked for, no connection to the world outside."""
    assert read_calls(rehearsed.consortium.sink_log) == []


def test_a_stopped_study_frees_the_trainer(rehearsed: Rehearsed) -> None:
    """`stop` came while the fourth center trained: its trainer gave up, said so, and trained again after `resume`."""
    assert rehearsed.freed_s < 20
    log = rehearsed.consortium.home("center-d") / "trainer" / "outgoing.jsonl"
    trained = [line["error"] for line in map(json.loads, log.read_text().splitlines()) if line["kind"] == "train"]
    assert trained == ["cancelled", ""]


def test_a_revoked_center_is_turned_away_at_once(rehearsed: Rehearsed) -> None:
    """Its node goes offline, and a new start of it is refused with the exit code of authentication."""
    consortium = rehearsed.consortium
    consortium.coordinate("revoke", "center-b", "--study", rehearsed.root)
    rows = {center["name"]: center for center in consortium.status()["centers"]}
    assert rows["center-b"]["enrolled"] == "revoked"
    assert not rows["center-b"]["online"]
    consortium.end("join-center-b")
    code, printed = run_join(consortium, "center-b", rehearsed.kits["center-b"])
    assert code == 16, printed


def test_the_sink_hears_a_flower_that_is_left_as_it_comes(rehearsed: Rehearsed) -> None:
    """The control: with telemetry as Flower ships it, one start of a SuperLink is heard."""
    consortium = rehearsed.consortium
    words: list[str | Path] = [BIN / "flower-superlink", "--host", "127.0.0.1", "--port", "9300"]
    as_shipped = {"FLWR_TELEMETRY_ENABLED": "1", "FLWR_DISABLE_UPDATE_CHECK": "0", "FLWR_HOME": "/tmp/none"}
    consortium.start("telling", "center-c", [*words, "--insecure"], **as_shipped)
    consortium.wait_until(lambda: bool(read_calls(consortium.sink_log)), "a call home", within_s=120)
    consortium.end("telling")
    assert any("flower.ai" in call["what"] for call in read_calls(consortium.sink_log))


def supernode(rehearsed: Rehearsed, key: Path, authority: Path) -> tuple[int, str]:
    """Exit code and output of a SuperNode at center-a with another key, which must end by itself."""
    consortium = rehearsed.consortium
    words: list[str | Path] = [BIN / "flower-supernode", "--superlink", consortium.endpoint, "--port", "9400"]
    words += ["--root-certificates", authority, "--auth-supernode-private-key", key, "--isolation", "process"]
    consortium.start("stranger", "center-a", words, FLWR_HOME=str(key.parent / "flwr"))
    code = consortium.running["stranger"].wait(timeout=60)
    return code, consortium.log("stranger").read_text()


def join_anew(rehearsed: Rehearsed, folder: Path, kit: Path) -> tuple[int, str]:
    """Exit code and output of a dry run of `join` at center-a, into a home that does not exist."""
    data = rehearsed.consortium.folder / "data" / "center-a"
    words: list[str | Path] = [BIN / "concilium-center", "join", kit, "--data", data]
    words += ["--home", folder / "home", "--dry-run"]
    done = rehearsed.consortium.run("center-a", words)
    return done.returncode, done.stdout + done.stderr
