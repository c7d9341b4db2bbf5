"""The coordinator's commands that need no torch, put together; `deploy.coordinator.cli` adds the rest."""

import typer

from server.cli import audit, bank, card, dashboard, enrolment, launch, notices, tracking, withdrawal
from server.cli.console import MessageGroup, Version

app = typer.Typer(
    cls=MessageGroup,
    no_args_is_help=True,
    help="A council of centers that teaches one model without moving one patient.",
    pretty_exceptions_show_locals=False,
)
app.add_typer(audit.app, name="audit")
app.add_typer(bank.app, name="bank")
app.add_typer(card.app)
app.add_typer(dashboard.app)
app.add_typer(enrolment.app)
app.add_typer(launch.app)
app.add_typer(notices.app)
app.add_typer(tracking.app)
app.add_typer(withdrawal.app)


@app.callback()
def coordinator(_version: Version = False) -> None:
    """A council of centers that teaches one model without moving one patient."""
