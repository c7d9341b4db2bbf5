"""`concilium card`: what a version of the bank is, as a page for people and as JSON for machines."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("card")
def card(
    study: Annotated[Path, typer.Argument(help="Directory of the study, with bank and result.json.")],
    name: Annotated[str, typer.Argument(help='"shared" or the name of a center.')] = "shared",
    out: Annotated[Path, typer.Option(help="Folder that gets card.html and card.json.")] = Path("card"),
    version: Annotated[int | None, typer.Option(min=1, help="A version; the one in use where none is given.")] = None,
    audit: Annotated[
        list[Path] | None, typer.Option(help="What a center's audit found, as it handed it on; may be given again.")
    ] = None,
    privacy: Annotated[
        list[Path] | None,
        typer.Option(help="What a center printed of its ledger with --privacy --json; may be given again."),
    ] = None,
) -> None:
    """Write the model card of a version: facts, known limits, and what reporting guidelines ask for beside them."""
    from protocol.storage.atomic_files import write_text
    from server.card.known_facts import read_facts
    from server.card.model_card import build_card
    from server.card.page import card_html, count_items

    made = build_card(read_facts(study, name, version, audit or (), privacy or ()))
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "card.json", json.dumps(made, indent=1, allow_nan=False))
    write_text(out / "card.html", card_html(made))
    for guideline, items in made["reporting"].items():
        typer.echo(f"{guideline}: {count_items(items)}")
    typer.echo(f"{made['version']['reference']}: {out / 'card.html'}, {out / 'card.json'}")
