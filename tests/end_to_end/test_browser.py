"""What people look at, in a real browser: our report, and MLflow's page of a center's run."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlflow.tracking import MlflowClient

from server.results.charts import LOSS, MARKS
from server.study.directory import StudyDirectory
from tests.support.chromium import keep, watched_page
from tests.support.mlflow_server import local_pages

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.slow, pytest.mark.network]

CURVE = ".js-plotly-plot .scatterlayer .trace"
POINTS = f"Array.from(document.querySelectorAll('{CURVE}'), curve => curve.querySelectorAll('.points path').length)"


@pytest.fixture(scope="module")
def page() -> "Iterator[Page]":
    """An empty page that is as high as a report's first plots."""
    with watched_page(height=1600) as (page, _):
        yield page


def test_the_report_draws_a_curve_for_each_center(page: "Page", finished: StudyDirectory) -> None:
    """A line of each modality setting that the center has, and its loss; nothing is fetched from elsewhere."""
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(request.url))
    page.goto(finished.report.as_uri())
    for center, scored in (("center-a", {"ct", "pet", "ct+pet"}), ("center-d", {"ct"})):
        drawing = page.locator(f'figure[aria-label="Curves of {center}"] svg')
        drawing.wait_for(state="visible")
        found = {name for name, mark in MARKS.items() if max(widths(curves(drawing, mark.colour)), default=0) > 50}
        assert found == scored
        assert max(widths(curves(drawing, LOSS))) > 50
    keep(page, "report")
    assert problems == []


def test_mlflow_draws_the_curves_of_a_center(page: "Page", finished: StudyDirectory, tmp_path: Path) -> None:
    """Charts of center-a's run: three curves of Dice at least, one of them with a point for each of its four rounds."""
    client = MlflowClient(f"sqlite:///{finished.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("small/center-a")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    with local_pages(finished.root / "mlflow.db", tmp_path) as address:
        page.goto(f"{address}/#/experiments/{experiment.experiment_id}/runs/{run.info.run_id}/model-metrics")
        page.get_by_placeholder("Search metric charts").fill("validation/dice")
        page.get_by_text("center-a (validation/dice/ct)").wait_for(timeout=60_000)
        page.locator(CURVE).nth(2).wait_for(state="attached", timeout=60_000)
        page.wait_for_function(f"() => Math.max(...{POINTS}) === 4")
        keep(page, "mlflow-center-a")
    assert [point.step for point in client.get_metric_history(run.info.run_id, "validation/dice/ct")] == [1, 2, 3, 4]


def curves(drawing: "Locator", colour: str) -> "Locator":
    """The lines of a drawing that have this colour."""
    return drawing.locator(f'path[style*="stroke: {colour.lower()}"]')


def widths(lines: "Locator") -> list[float]:
    """How wide each line is drawn, in pixels."""
    found: list[float] = lines.evaluate_all("all => all.map(one => one.getBoundingClientRect().width)")
    return found
