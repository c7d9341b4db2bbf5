"""The commands of `concilium-center` that start no other program: what an engineer at a hospital looks into."""

import json
import logging
from collections.abc import Collection, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from client.cli.audit import audit_command
from client.cli.check import check
from client.cli.convert import convert
from client.cli.corrections import corrections
from client.cli.dashboard import dashboard
from client.cli.fuse import fuse
from client.cli.ledger import show_ledger
from client.cli.predict import predict
from client.cli.preview import preview
from client.cli.pull import pull_studies
from client.cli.renew_key import renew_key
from client.cli.version import center as center_callback
from client.cli.view import view
from client.home.agreement import agreed_by
from client.home.draw_key import provide_draw_key
from client.home.own_privacy import read_own_privacy
from protocol.errors import CaseError
from protocol.modalities import IMAGES, MODALITIES, SETTINGS, Modality, ModalitySetting, modalities_in
from protocol.storage.atomic_files import make_private_folder
from protocol.tasks import metric_named
from reporting import formats

if TYPE_CHECKING:
    from client.service.trainer import Trainer
    from client.service.trainer_options import TrainerOptions

ROUTED = "routed"

app = typer.Typer(no_args_is_help=True, help="One center of a federation.", pretty_exceptions_show_locals=False)

app.callback()(center_callback)
app.command("audit")(audit_command)
app.command("convert")(convert)
app.command("check")(check)
app.command("corrections")(corrections)
app.command("fuse")(fuse)
app.command("ledger")(show_ledger)
app.command("preview")(preview)
app.command("pull")(pull_studies)
app.command("predict")(predict)
app.command("renew-key")(renew_key)
app.command("view")(view)
app.command("dashboard")(dashboard)

Data = Annotated[Path, typer.Option(help="Folder with one folder per case (ct, pet, gtv .nii.gz), a table, or both.")]
Home = Annotated[Path, typer.Option(help="Where the center keeps manifest, cache, scores and outgoing log.")]
Device = Annotated[str, typer.Option(help='"cpu" or "cuda".')]


@app.command("evaluate")
def evaluate(
    bank: Annotated[Path, typer.Option(help="An adapter bank, OUT/bank after a run.")],
    adapter: Annotated[str, typer.Option(help='"shared", a center, or "routed": per scan, by the router.')],
    data: Data,
    modalities: Annotated[
        str, typer.Option(help=f'A setting such as "{"+".join(IMAGES)}"; what each case has if left out.')
    ] = "",
    version: Annotated[int | None, typer.Option(min=1, help="A version; the one in use where none is given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    device: Device = "cpu",
) -> None:
    """Score an adapter of the bank on any folder of cases, each case once for each task of the study."""
    from client.learning.assembly import row_of
    from client.learning.routing import RoutedModels
    from client.scores.bank_evaluation import evaluate_cases, evaluation_table, load_adapter, one_for_all, scan_folder
    from strategies.bank.bank import AdapterBank

    store = AdapterBank(bank)
    row = row_of(store.settings)
    wanted = parse_setting(modalities) if modalities else None
    manifest = scan_folder(data, wanted, store.settings.labels)
    for issue in manifest.all_issues:
        if issue.grade != "note":
            typer.echo(issue.message, err=True)
    routed = RoutedModels(store, row, device=device) if adapter == ROUTED else None
    model_for = routed.model_for if routed else one_for_all(load_adapter(store, row, adapter, version, device=device))
    scores = []
    for task, score in evaluate_cases(model_for, store.settings, row, manifest, wanted):
        scores.append((task, score))
        typer.echo(f"{score.case} {score.modalities}: {format_figures(score.values)}", err=True)
    found = evaluation_table(scores, manifest)
    if routed:
        found["routes"] = routed.routes
    if as_json:
        typer.echo(json.dumps(found))
        return
    left_out = ", ".join(found["left_out"]) or "none"
    for line in table_lines(found, {score.case for _, score in scores}):
        typer.echo(line)
    typer.echo(f"cases with an undefined score: {found['undefined']}; left out: {left_out}")


@app.command("report")
def report(
    home: Home,
    out: Annotated[Path | None, typer.Option(help="The page; HOME/report.html by default.")] = None,
    center: Annotated[str, typer.Option(help="The center's name; the one it trained under by default.")] = "",
) -> None:
    """Write the center's own page. It shows patients' images and stays at the center."""
    from client.report.center_report import write_center_report

    home = home / "trainer" if (home / "trainer" / "manifest.json").exists() else home
    if not (home / "manifest.json").exists():
        raise CaseError(f"{home} is no center's home: manifest.json not found; give the home of a trainer that has run")
    path = out or home / "report.html"
    write_center_report(home, path, center=center)
    typer.echo(str(path))


@app.command("trainer")
def trainer(
    home: Annotated[Path, typer.Option(help="The home `join` made, which says the rest; or a folder of the trainer.")],
    center: Annotated[str | None, typer.Option(help="The name the center registered with.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder with one folder per case.")] = None,
    socket: Annotated[Path | None, typer.Option(help="Socket that the ClientApp connects to.")] = None,
    modalities: Annotated[
        str, typer.Option(help=f'What the center offers of {", ".join(MODALITIES)}, joined by "+"; {"+".join(IMAGES)}.')
    ] = "",
    device: Annotated[str | None, typer.Option(help='"cpu", "cuda", or "auto": what is there.')] = None,
    minimum_cases: Annotated[
        int | None, typer.Option(min=1, help="Fewest cases behind a tensor or figure that leaves.")
    ] = None,
    agreement: Annotated[
        Path | None,
        typer.Option("--terms", help="What the center agreed to (agreement.json); any study where none is given."),
    ] = None,
    maximum_steps: Annotated[int | None, typer.Option(min=1, help="Most local steps a round may ask for.")] = None,
    maximum_queries: Annotated[
        int | None, typer.Option(min=1, help="Most questions about figures ever answered on this data.")
    ] = None,
    maximum_batch: Annotated[int | None, typer.Option(min=1, help="Most crops a step; 512.")] = None,
    maximum_hours: Annotated[float | None, typer.Option(min=0, help="Longest work of one instruction; 72.")] = None,
    maximum_memory: Annotated[
        float | None, typer.Option(min=0, help="GiB for network, step and cases; what the device has.")
    ] = None,
    privacy: Annotated[Path | None, typer.Option(help="TOML of the least privacy that this center guarantees.")] = None,
    maximum_attack_auc: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Compare no candidate whose losses tell members better. Loss threshold alone: shadows take too long.",
        ),
    ] = None,
) -> None:
    """Start the warm trainer: it holds the data, has no network, and answers the ClientApp over a local socket."""
    from client.service.trainer_link import key_path
    from client.service.trainer_options import trainer_options
    from client.service.trainer_service import provide_key, serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    found = trainer_options(
        home,
        center=center,
        data=data,
        socket=socket,
        modalities=parse_modalities(modalities) if modalities else None,
        device=device,
        minimum_cases=minimum_cases,
        maximum_steps=maximum_steps,
        maximum_queries=maximum_queries,
        maximum_batch=maximum_batch,
        maximum_hours=maximum_hours,
        maximum_memory=maximum_memory,
        maximum_attack_auc=maximum_attack_auc,
        agreement=agreement,
        privacy=read_own_privacy(privacy) if privacy else None,
    )
    made = load_trainer(found)
    with made.activity.beating():
        serve(made, found.socket, provide_key(key_path(found.socket)))


def load_trainer(options: "TrainerOptions") -> "Trainer":
    """The trainer that the options ask for, ready to work; what it does until then is told at its home."""
    from client.service.activity import Activity
    from client.service.lean_imports import without

    make_private_folder(options.home)
    start = Activity(options.home)
    # Else nothing is said for half a minute on a slow machine, and whoever started it takes it for hung.
    start.begin("starts: loads the network's libraries (torch, MONAI, peft)")
    with start.beating():
        with without():
            import_module("client.service.trainer")
        from client.service.thread_count import keep_thread_count

        keep_thread_count(options.home)
        made = build_trainer(options)
        start.begin("starts: looks at the cases")
        made.check_images()
    made.activity.wait()
    return made


def build_trainer(options: "TrainerOptions") -> "Trainer":
    """The trainer that the options ask for, bound to what its center agreed to."""
    from client.service.trainer import Trainer

    agreement = agreed_by(options.agreement, options.center)
    return Trainer(
        options.center,
        options.data,
        options.modalities,
        options.home,
        device=options.device,
        minimum_cases=options.minimum_cases,
        agreement=agreement,
        maximum_steps=options.maximum_steps,
        maximum_queries=options.maximum_queries,
        limits=options.limits,
        rows=agreement.rows if agreement else {},
        draw_key=provide_draw_key(options.home),
        privacy=options.privacy,
        highest_auc=options.maximum_attack_auc,
    )


def table_lines(table: Mapping[str, Any], scored: Collection[str]) -> Iterator[str]:
    """What an evaluation found: the means over cases, and the figures of the cohort or of each endpoint."""
    cohort = table.get("cohort", {})
    if table["mean"]:
        yield f"mean {format_figures(table['mean'])}, {len(scored)} case(s)"
    endpoints = {name: figures for name, figures in cohort.items() if isinstance(figures, Mapping)}
    of_cohort = {name: value for name, value in cohort.items() if name not in endpoints}
    if of_cohort:
        yield f"cohort {format_figures(of_cohort)}, {len(scored)} case(s)"
    for name, figures in endpoints.items():
        shown = {metric: value for metric, value in figures.items() if metric != "cases"}
        yield f"{name} {format_figures(shown)}, {figures['cases']} case(s)"


def format_figures(figures: Mapping[str, float | None]) -> str:
    """Figures as they are printed, those of a metric by its label."""
    return ", ".join(_figure_text(name, value) for name, value in figures.items())


def _figure_text(name: str, value: float | None) -> str:
    try:
        metric = metric_named(name)
    except KeyError:
        return f"{name} {formats.number(value, '.3f')}"
    label = " ".join([metric.label, *name.split("/")[1:]])
    decimals = 0 if metric.of == "count" else 3
    return f"{label} {formats.number(value, f'.{decimals}f')} {metric.unit}".rstrip()


def parse_modalities(modalities: str) -> tuple[Modality, ...]:
    """The modalities of a setting such as "ct+pet"."""
    return modalities_in(parse_setting(modalities))


def parse_setting(text: str) -> ModalitySetting:
    """A modality setting from the command line."""
    for name in SETTINGS:
        if text == name:
            return name
    raise typer.BadParameter(f"found '{text}', expected one of {', '.join(SETTINGS)}")
