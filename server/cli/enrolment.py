"""The coordinator's commands about centers and certificates; none prints a secret, none needs torch.

`study init` does (it draws the initial state), so `deploy.coordinator.cli` adds it to the group here.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.console import wide_console

if TYPE_CHECKING:
    from server.study.directory import StudyDirectory

app = typer.Typer()
study_app = typer.Typer(no_args_is_help=True, help="Make a study that centers can join.")
app.add_typer(study_app, name="study")

Root = Annotated[Path, typer.Option("--study", help="The coordinator's directory, made by `study init`.")]


@app.command("enroll")
def enroll(
    root: Root,
    center: Annotated[str, typer.Argument(help="Center to invite, by its name in the study.")] = "",
    days: Annotated[int, typer.Option(min=1, max=90, help="Days until the kit expires.")] = 14,
    member_days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="Days of membership, 365; with --renew as agreed.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The kit; ROOT/kits/CENTER.kit by default.")] = None,
    accept: Annotated[Path | None, typer.Option(help="A center's answer to accept.")] = None,
    renew: Annotated[str, typer.Option(help="Center whose membership to extend; it needs no new kit.")] = "",
) -> None:
    """Invite a center, accept its answer, or extend its membership."""
    if sum((bool(center), accept is not None, bool(renew))) != 1:
        raise typer.BadParameter("give one of: a center to invite, --accept ANSWER, --renew CENTER")
    if accept is not None:
        _accept(root, accept)
    elif renew:
        _renew(root, renew, member_days)
    else:
        _invite(root, center, days, member_days, out)


@app.command("revoke")
def revoke(center: Annotated[str, typer.Argument(help="The center.")], root: Root) -> None:
    """End a center's membership or invitation at once."""
    from server.centers.enrolment import Enrolment
    from server.centers.roster_signing import roster_notice
    from server.superlink.control import connect_to

    directory = directory_at(root)
    with connect_to(directory) as control:
        Enrolment(directory).revoke(center, control)
    typer.echo(f"center '{center}' is revoked: its key is turned away from now on, and its kit is worth nothing")
    if notice := roster_notice(directory):
        typer.echo(notice)


@app.command("centers")
def centers(root: Root) -> None:
    """Show the registry: every center's state, key and dates; what ends soon, and how to renew it."""
    from rich.table import Table

    from server.centers.enrolment import Enrolment
    from server.centers.expiry_notices import expiry_notices
    from server.centers.registry import day_of
    from server.centers.unagreed import agreement_notices
    from server.tls.authority import utc_now

    directory, now = directory_at(root), utc_now()
    table = Table("center", "state", "registered", "key", "member until", "kit until")
    for center, member in Enrolment(directory).registry.members.items():
        state = member.state_at(now)
        table.add_row(
            center,
            state,
            member.node_id or "-",
            member.fingerprint or "-",
            day_of(member.member_until) if member.member_until else "-",
            day_of(member.kit_expires_at) if state == "invited" else "-",
        )
    wide_console().print(table)
    for line in (*agreement_notices(directory), *expiry_notices(directory, now)):
        typer.echo(line)


@app.command("certificate")
def certificate(
    root: Root,
    renew: Annotated[bool, typer.Option("--renew", help="Sign a new one; no center notices.")] = False,
    encrypt: Annotated[
        bool, typer.Option("--encrypt-authority", help="Give the authority's key a passphrase, asked for here.")
    ] = False,
) -> None:
    """Show the server's certificate and its authority, renew the first, or lock the second."""
    from server.audit.authority_copy import sign_with_authority
    from server.centers.federation_init import encrypt_own_authority, renew_certificate
    from server.tls.authority import fingerprint_of, names_in, read_certificate, utc_now

    directory = directory_at(root)
    if encrypt:
        passphrase = typer.prompt("new passphrase of the authority's key", hide_input=True, confirmation_prompt=True)
        file = encrypt_own_authority(directory, passphrase.encode())
        typer.echo(f"{file} has a passphrase now; nobody can renew the certificate without it")
    if renew:
        ask = cache(ask_passphrase)
        renew_certificate(directory, ask)
        if directory.audit.exists():
            sign_with_authority(directory, ask)
        typer.echo("renewed; restart `concilium serve`, or SuperLink and proxy where they run on their own")
    server = read_certificate(directory.server_certificate)
    for what, found in (("server", server), ("authority", read_certificate(directory.authority_certificate))):
        end = found.not_valid_after_utc
        typer.echo(f"{what}: until {end:%Y-%m-%d}, {(end - utc_now()).days} days; SHA-256 {fingerprint_of(found)}")
    typer.echo(f"names: {', '.join(names_in(server))}")


@app.command("roster")
def roster(root: Root) -> None:
    """Sign the enrolled centers' keys with the authority's, for a study that sums in secret."""
    from protocol.enrolment.public_keys import fingerprint
    from server.centers.roster_signing import make_roster

    directory = directory_at(root)
    for center, key in make_roster(directory, ask_passphrase).keys.items():
        typer.echo(f"{center}: {fingerprint(key)}")
    typer.echo(f"signed in {directory.roster}; sign again when a center comes, goes or renews its key")


def ask_passphrase(path: Path) -> bytes:
    """The passphrase of a key, asked for at the terminal."""
    return str(typer.prompt(f"passphrase of {path}", hide_input=True)).encode()


def directory_at(root: Path) -> "StudyDirectory":
    """The coordinator's directory at `root`.

    Raises:
        StudyError: there is none.
    """
    from server.study.coordinator_settings import read_coordinator
    from server.study.directory import StudyDirectory

    directory = StudyDirectory(root)
    read_coordinator(directory.coordinator)
    return directory


def _invite(root: Path, center: str, days: int, member_days: int | None, out: Path | None) -> None:
    from server.centers.enrolment import MEMBER_DAYS, Enrolment
    from server.centers.registry import day_of

    enrolment = Enrolment(directory_at(root))
    path = enrolment.invite(center, days=days, member_days=member_days or MEMBER_DAYS, out=out)
    until = day_of(enrolment.registry.member(center).kit_expires_at)
    typer.echo(
        f"kit of center '{center}': {path}, to be used until {until}. It holds a one-time token: send it to that "
        f"center alone, encrypted. Then wait for {center}.answer: `concilium enroll --accept FILE --study {root}`"
    )


def _accept(root: Path, answer: Path) -> None:
    from server.centers.enrolment import Enrolment
    from server.centers.registry import day_of
    from server.superlink.control import connect_to

    directory = directory_at(root)
    enrolment = Enrolment(directory)
    with connect_to(directory) as control:
        center = enrolment.accept(answer, control)
    member = enrolment.registry.member(center)
    typer.echo(f"center '{center}' is enrolled with key {member.fingerprint} until {day_of(member.member_until)}")


def _renew(root: Path, center: str, member_days: int | None) -> None:
    from server.centers.enrolment import Enrolment
    from server.centers.registry import day_of

    member = Enrolment(directory_at(root)).renew(center, member_days=member_days)
    typer.echo(f"center '{center}' is a member until {day_of(member.member_until)}")
    if member.spent:
        typer.echo(
            "its key was turned away when its membership ended, and Flower takes no key twice: let it make another "
            f"with `concilium-center renew-key`, then `concilium enroll --accept FILE --study {root}`"
        )
