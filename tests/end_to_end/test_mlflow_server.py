"""A study in a real MLflow server: PostgreSQL, TLS, users with permissions, artifacts, and an outage in the middle."""

import logging
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import mlflow.artifacts
import pytest
import requests
import torch
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from peft import PeftModel
from typer.testing import CliRunner

from client.app import build_client_app
from client.learning.assembly import assemble, build, row_of
from deploy.simulation.in_process import InProcessGrid
from protocol.storage.sealed_json import read_sealed
from server.cli.app import app
from server.grid.center_grid import CenterGrid
from server.rounds.running import run_study
from server.study import checkpoint as checkpoints
from server.study.events import Event, Listen, RoundStarted
from server.study.file import read_study
from server.tracking.lines import lines_of
from server.tracking.remote import RemoteTracker, open_tracker
from server.tracking.replay import replay
from strategies.bank.bank import AdapterBank
from tests.support.federation import GROWING, TOGETHER, Federation, federation
from tests.support.loopback import free_port
from tests.support.mlflow_server import ADMIN_PASSWORD, MlflowServer, mlflow_server

pytestmark = [pytest.mark.slow, pytest.mark.network]


def run_over(found: Federation, uri: str, listen: Listen | None = None) -> None:
    apps = {name: build_client_app(trainer.perform) for name, trainer in found.trainers.items()}
    run_study(CenterGrid(InProcessGrid(apps), poll_s=0), found.root, listen=listen, tracking_uri=uri)


class Outage:
    """The database goes away when round 2 starts, and is back when round 4 starts."""

    def __init__(self, server: MlflowServer) -> None:
        self.server, self.rounds = server, 0

    def __call__(self, event: Event) -> None:
        if not isinstance(event, RoundStarted):
            return
        self.rounds += 1
        if self.rounds == 2:
            self.server.postgres.stop()
        if self.rounds == 4:
            self.server.postgres.start()


@dataclass
class Tracked:
    """A study that ran over a server, with what was logged on the way."""

    server: MlflowServer
    federation: Federation
    log: str

    @property
    def root(self) -> Path:
        return self.federation.root

    @property
    def run_ids(self) -> Mapping[str, str]:
        state = checkpoints.load(self.federation.directory.checkpoint)
        assert state is not None
        return state.tracking


@pytest.fixture(scope="module")
def server() -> Iterator[MlflowServer]:
    with mlflow_server() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
        for name, value in running.as_user("admin", ADMIN_PASSWORD).items():
            patch.setenv(name, value)
        yield running


def command(server: MlflowServer, *arguments: str | Path) -> str:
    """What a command of the coordinator prints."""
    done = CliRunner().invoke(app, [*map(str, arguments), "--server", server.uri])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


@pytest.fixture(scope="module")
def tracked(server: MlflowServer, cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """A study whose coordinator is a user like others, with an outage of the database during rounds 2 and 3."""
    found = federation(tmp_path_factory.mktemp("tracked"), cohort, GROWING)
    command(server, "mlflow-user", "--writer", "coordinator", "--study", found.root)
    password = (found.root / "mlflow" / "coordinator.password").read_text().strip()
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("server.tracking").addHandler(handler)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in server.as_user("coordinator", password).items():
                patch.setenv(name, value)
            run_over(found, server.uri, Outage(server))
    finally:
        logging.getLogger("server.tracking").removeHandler(handler)
    return Tracked(server, found, "\n".join(records))


def spoken(found: Federation) -> dict[tuple[str, str, int], float]:
    """What the checkpoint's history says, by run, metric and step."""
    state = checkpoints.load(found.directory.checkpoint)
    assert state is not None
    lines = lines_of(state.history, read_study(found.directory.study_file))
    return {(line.run, key, line.step): value for line in lines for key, value in line.metrics.items()}


def logged(client: MlflowClient, run_ids: Mapping[str, str]) -> list[tuple[tuple[str, str, int], float]]:
    """Every point of every curve in MLflow."""
    return [
        ((run, key, point.step), point.value)
        for run, run_id in run_ids.items()
        for key in client.get_run(run_id).data.metrics
        for point in client.get_metric_history(run_id, key)
    ]


def test_after_an_outage_in_the_middle_mlflow_has_the_whole_history_and_nothing_twice(tracked: Tracked) -> None:
    points = logged(MlflowClient(tracked.server.uri), tracked.run_ids)
    assert len(points) == len(dict(points)) > 50
    assert dict(points) == pytest.approx(spoken(tracked.federation))
    assert {step for (_, _, step), _ in points} == {0, 1, 2, 3, 4}


def test_an_outage_is_told_once_and_so_is_its_end(tracked: Tracked) -> None:
    assert tracked.log.count("The study goes on") == tracked.log.count("answers again and has everything") == 1
    assert "not yet in MLflow" not in tracked.log


def test_every_run_is_finished(tracked: Tracked) -> None:
    client = MlflowClient(tracked.server.uri)
    assert sorted(tracked.run_ids) == ["center/center-a", "center/center-d", "shared", "study"]
    assert {client.get_run(run_id).info.status for run_id in tracked.run_ids.values()} == {"FINISHED"}


def test_a_report_comes_back_through_the_server_byte_for_byte(tracked: Tracked, tmp_path: Path) -> None:
    client = MlflowClient(tracked.server.uri)
    page = client.download_artifacts(tracked.run_ids["study"], "report.html", str(tmp_path))
    assert Path(page).read_bytes() == tracked.federation.directory.report.read_bytes()
    assert client.get_run(tracked.run_ids["study"]).info.artifact_uri.startswith("mlflow-artifacts:/")


@pytest.fixture(scope="module")
def users(tracked: Tracked) -> dict[str, dict[str, str]]:
    """The environment of each center's user, made by command."""
    environments = {}
    for center in ("center-a", "center-d"):
        printed = command(tracked.server, "mlflow-user", center, "--study", tracked.root)
        file = tracked.root / "mlflow" / f"{center}.password"
        password = file.read_text().strip()
        assert password not in printed
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        environments[center] = tracked.server.as_user(center, password)
    return environments


@pytest.fixture
def as_center_a(users: Mapping[str, Mapping[str, str]], server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own variables, as a center sets them."""
    for name, value in {**users["center-a"], "MLFLOW_TRACKING_URI": server.uri}.items():
        monkeypatch.setenv(name, value)


def test_a_center_sees_its_own_experiment_and_what_is_shared(tracked: Tracked, as_center_a: None) -> None:
    client = MlflowClient(tracked.server.uri)
    assert client.get_metric_history(tracked.run_ids["center/center-a"], "loss")
    assert {found.name for found in client.search_experiments()} == {"small/center-a", "small/shared"}
    assert {found.name for found in client.search_registered_models()} == {"small.center-a", "small.shared"}


@pytest.mark.parametrize("run", ["center/center-d", "study"])
def test_a_center_is_refused_what_is_not_its_own(run: str, tracked: Tracked, as_center_a: None) -> None:
    client = MlflowClient(tracked.server.uri)
    for look in (client.get_run, client.list_artifacts, lambda found: client.get_metric_history(found, "loss")):
        with pytest.raises(MlflowException, match="403"):
            look(tracked.run_ids[run])


def test_a_center_is_refused_the_adapter_of_another_and_may_write_nothing(tracked: Tracked, as_center_a: None) -> None:
    client, own = MlflowClient(tracked.server.uri), tracked.run_ids["center/center-a"]
    for attempt in (
        lambda: client.get_model_version_by_alias("small.center-d", "champion"),
        lambda: client.log_metric(own, "loss", 0.0),
        lambda: client.set_registered_model_alias("small.shared", "champion", "1"),
        lambda: client.log_text(own, "mine", "report.html"),
    ):
        with pytest.raises((MlflowException, requests.HTTPError), match="403"):
            attempt()


def test_a_center_downloads_the_champion_and_it_loads(tracked: Tracked, as_center_a: None, tmp_path: Path) -> None:
    """The adapter that peft loads from MLflow computes what the bank's does."""
    folder = Path(mlflow.artifacts.download_artifacts("models:/small.shared@champion", dst_path=str(tmp_path)))
    bank = AdapterBank(tracked.federation.directory.bank)
    head = bank.head("shared")
    backbone = bank.backbone(head.backbone)
    bare = build(bank.settings, row_of(bank.settings))
    bare.load_state_dict({key: torch.from_numpy(array) for key, array in backbone.items()}, strict=False)
    theirs = PeftModel.from_pretrained(bare, str(folder)).eval()
    ours = assemble(bank.settings, row_of(bank.settings), backbone, bank.tensors(head)).eval()
    image = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(theirs(image, image), ours(image, image))
    assert read_sealed(folder / "entry.json")["sha256"] == head.sha256


def test_a_user_made_again_keeps_the_password_and_the_permissions(tracked: Tracked, users: object) -> None:
    file = tracked.root / "mlflow" / "center-a.password"
    before = file.read_text()
    assert "(kept)" in command(tracked.server, "mlflow-user", "center-a", "--study", tracked.root)
    assert file.read_text() == before


def test_a_user_whose_password_nobody_kept_is_not_given_another(tracked: Tracked, users: object) -> None:
    file = tracked.root / "mlflow" / "center-d.password"
    kept = file.rename(file.with_suffix(".kept"))
    try:
        done = CliRunner().invoke(
            app, ["mlflow-user", "center-d", "--study", str(tracked.root), "--server", tracked.server.uri]
        )
    finally:
        kept.rename(file)
    assert done.exit_code == 1
    assert "does not hold its password" in done.output


def test_the_champion_follows_a_rollback_and_no_version_is_registered_twice(tracked: Tracked) -> None:
    client, bank = MlflowClient(tracked.server.uri), AdapterBank(tracked.federation.directory.bank)
    before = len(client.search_model_versions("name = 'small.shared'"))
    assert before == len([entry for entry in bank.entries() if entry.name == "shared"]) == 2
    bank.rollback("shared", 1)
    try:
        command(tracked.server, "track", tracked.root)
        assert client.get_model_version_by_alias("small.shared", "champion").tags["bank"] == "shared/0001"
    finally:
        bank.rollback("shared", 2)
        client.set_registered_model_alias("small.shared", "champion", "2")
    assert len(client.search_model_versions("name = 'small.shared'")) == before


def test_a_study_whose_server_never_answers_ends_all_the_same_and_is_sent_later(
    server: MlflowServer, cohort: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = federation(tmp_path, cohort, TOGETHER.replace('name = "small"', 'name = "late"'))
    run_over(found, f"https://localhost:{free_port()}")
    assert found.directory.result.exists()
    assert caplog.text.count("The study goes on") == 1
    assert "not yet in MLflow: a part of the study" in caplog.text
    assert f"`concilium track {found.root} --server" in caplog.text
    tracker = replay(found.root, server.uri)
    points = logged(MlflowClient(server.uri), tracker.run_ids)
    assert len(points) == len(dict(points))
    assert dict(points) == pytest.approx(spoken(found))


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("MLFLOW_TRACKING_PASSWORD", "wrong", "Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        ("MLFLOW_TRACKING_SERVER_CERT_PATH", "", "with MLFLOW_TRACKING_SERVER_CERT_PATH"),
    ],
)
def test_a_server_that_refuses_us_stops_nothing_and_the_remedy_is_said(
    variable: str,
    value: str,
    remedy: str,
    tracked: Tracked,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(os.environ, variable, value)
    study = read_study(tracked.federation.directory.study_file)
    tracker = open_tracker(tracked.root, study, run_ids={}, tracking_uri=tracked.server.uri)
    assert isinstance(tracker, RemoteTracker)
    assert tracker.behind
    assert remedy in caplog.text
