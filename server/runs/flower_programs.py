"""Flower's programs at the coordinator, started by us: `python -m server.runs.flower_programs NAME ROOT [OPTION...]`.

superlink    listens at the doors below ROOT and at no port
superexec    asks at the runtime door, and starts `serverapp` for a run and nothing for anything else
serverapp    runs the ServerApp of the bundle that is installed here, and no other

The options are Flower's. What Flower is given as an address only names the server in TLS: no port is opened or called.
"""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from protocol.errors import ConciliumError, LaunchError
from protocol.flower_internals import SqlLinkState, flower_superexec, flower_superlink, flwr_serverapp
from protocol.flower_sockets import bring_token, call_through, module_of, serve_at, start_tasks_with
from protocol.flower_start_time import give_time_to_start, prolong_in_database
from protocol.storage.private_socket import give_to, listen_privately
from server.runs.bundle_check import check_bundles
from server.superlink.doors import Doors, let_through, proxy_account
from server.superlink.last_calls import LastCalls
from server.superlink.routine_lines import leave_out_routine_lines


def superlink_command(root: Path, *options: str) -> tuple[str, ...]:
    """The words that start a study's SuperLink."""
    return _command("superlink", root, options)


def superexec_command(root: Path, *options: str) -> tuple[str, ...]:
    """The words that start a study's SuperExec."""
    return _command("superexec", root, options)


def run_superlink(root: Path) -> None:
    """Be the SuperLink.

    Raises:
        SocketError: a door cannot be listened at.
        OtherFlowerError: Flower is not the one that this was made for.
    """
    doors = Doors(root).by_name()
    sockets = [listen_privately(path) for path in doors.values()]
    if account := proxy_account():
        give_to(doors["fleet"], account.pw_uid)
    give_time_to_start(SqlLinkState, prolong_in_database)
    leave_out_routine_lines()
    calls = LastCalls()
    serve_at(module_of(flower_superlink), sockets, lambda app: let_through(calls.note(app), doors))
    flower_superlink()


def run_superexec(root: Path) -> None:
    """Be the SuperExec.

    Raises:
        OtherFlowerError: Flower is not the one that this was made for.
    """
    call_through(Doors(root).runtime)
    start_tasks_with({"flwr-serverapp": _command("serverapp", root)})
    flower_superexec()


def run_serverapp(root: Path) -> None:
    """Be the process of one run.

    Raises:
        OtherFlowerError: Flower is not the one that this was made for.
    """
    call_through(Doors(root).runtime)
    check_bundles()
    bring_token()
    flwr_serverapp()


PROGRAMS: Mapping[str, Callable[[Path], None]] = {
    "superlink": run_superlink,
    "superexec": run_superexec,
    "serverapp": run_serverapp,
}


def main(words: Sequence[str]) -> None:
    """Become a program; `words` are its name, the study's directory and Flower's options."""
    try:
        if len(words) < 2 or words[0] not in PROGRAMS:
            raise LaunchError(f"give one of {', '.join(PROGRAMS)}, a study's directory and Flower's options")
        sys.argv = [words[0], *words[2:]]
        PROGRAMS[words[0]](Path(words[1]))
    except ConciliumError as error:
        logging.getLogger().error("%s", error)
        sys.exit(1)


def _command(name: str, root: Path, options: Sequence[str] = ()) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", "server.runs.flower_programs", name, str(root), *options)


if __name__ == "__main__":
    main(sys.argv[1:])
