"""The process that SuperExec starts for each message, in place of Flower's own `flwr-clientapp`.

Flower's would unpack the bundle that came from the coordinator and import the app it names. This one runs Flower's
loop with three names of its module replaced: the bundle is checked instead of installed (`bundle_guard`), the app is
always the one that was installed with this package (`client.app`), and no dependency is ever installed. If an
upgrade of Flower takes these names away, the process refuses to run.

What is refused is answered with a code, which goes into the node's outgoing log before it is sent; a text never
travels.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from flwr.app import Context, Message

from client.app import build_client_app_per_node, note_reply, perform_with_trainer
from client.home.center_home import CenterHome, read_membership
from client.node.bundle_guard import check_bundle, check_run_options, read_accepted
from client.node.node_home import home_of_node
from client.node.node_key import read_node_key
from client.node.sum_signing import perform_and_sign
from client.service.failure import Perform
from protocol.errors import ConciliumError
from protocol.flower_codec import claimed_kind, reply_content
from protocol.flower_sockets import bring_token, call_through
from protocol.messages.reply import Reply

logger = logging.getLogger(__name__)

REPLACED = ("install_from_fab", "get_load_client_app_fn", "install_app_dependencies")
Handle = Callable[..., Message]


class GuardError(ConciliumError):
    """The guard cannot do its work, so nothing runs."""

    code = "guard"


class WithheldError(Exception):
    """An answer that does not leave; Flower sends this text in its place, so it is a code and nothing else."""


class Guard:
    """Decides for one process whether it acts on what came, and answers in its stead where it does not."""

    def __init__(self, home: CenterHome) -> None:
        self._home = home
        self._app = build_client_app_per_node(self._performer)
        self._refused: ConciliumError | None = GuardError("no bundle was checked; nothing was done")

    def install_from_fab(self, bundle: bytes, *_: Any, **__: Any) -> Path:
        """Check the bundle in place of unpacking it; what is wrong with it is answered later, by `handle`."""
        try:
            check_bundle(bundle, read_accepted(self._home.bundles))
            self._refused = None
        except ConciliumError as error:
            self._refused = error
        return self._home.flower

    def get_load_client_app_fn(self, *_: Any, **__: Any) -> Callable[..., Handle]:
        """What Flower calls to find the app: always the same answer, whatever the bundle names."""
        return lambda *_args, **_kwargs: self.handle

    def install_app_dependencies(self, *_: Any, **__: Any) -> Path:
        """Install nothing.

        Raises:
            WithheldError: always.
        """
        raise WithheldError("dependency-refused")

    def handle(self, message: Message, context: Context) -> Message:
        """Let the installed app answer a message, or answer with the code of what is refused.

        Raises:
            WithheldError: something failed, or the answer could not be logged; it stays here.
        """
        try:
            return self._answer(message, context)
        except WithheldError:
            raise
        except Exception:
            logger.exception("a message cannot be answered")
            raise WithheldError("internal") from None

    def _answer(self, message: Message, context: Context) -> Message:
        try:
            self._check(context.run_config)
        except ConciliumError as error:
            logger.error("refused: %s", error)
            return self._refuse(error.code, message)
        return self._app(message=message, context=context)

    def _performer(self, context: Context) -> Perform:
        """The trainer beside this node, whose part in sums is signed with the center's key."""
        return perform_and_sign(perform_with_trainer(context), lambda: read_node_key(self._home.key))

    def _check(self, run_options: Mapping[str, Any]) -> None:
        if self._refused is not None:
            raise self._refused
        check_run_options(run_options, read_membership(self._home).agreement.run_options)

    def _refuse(self, code: str, message: Message) -> Message:
        kind = claimed_kind(message.content, message.metadata.message_type)
        reply = Reply(center="", kind=kind, error=code)
        if not note_reply(reply, None):
            raise WithheldError("storage")
        return Message(reply_content(reply), reply_to=message)


def install(guard: Guard, flower: ModuleType) -> None:
    """Put the guard in the place of Flower's own functions.

    Raises:
        GuardError: Flower's loop no longer uses the names that are replaced.
    """
    used = getattr(getattr(flower, "run_clientapp", None), "__code__", None)
    missing = [name for name in REPLACED if used is None or name not in used.co_names or not hasattr(flower, name)]
    if missing:
        raise GuardError(
            f"this version of Flower does not use {missing} where 1.41 does, so bundles could not be checked; nothing "
            "runs. Install the version of Flower that concilium names"
        )
    for name in REPLACED:
        setattr(flower, name, getattr(guard, name))


def run_loop(flower: ModuleType) -> None:
    """Run Flower's loop as its command `flwr-clientapp` does, with this process's arguments.

    The command is not loaded: it lies in one package with the SuperNode, whose server and database would cost a process
    that is started for every message nearly half of its start.
    """
    from protocol.flower_internals import (
        add_args_flwr_app_common,
        try_obtain_flwr_app_token,
        validate_and_resolve_root_certificates,
    )

    parser = argparse.ArgumentParser(description="Answer one message.")
    parser.add_argument("--runtime-api-address", required=True)
    add_args_flwr_app_common(parser=parser)
    options = parser.parse_args()
    flower.run_clientapp(
        runtime_api_address=options.runtime_api_address,
        token=try_obtain_flwr_app_token(options),
        insecure=options.insecure,
        certificates=validate_and_resolve_root_certificates(options.root_certificates, options.insecure),
        parent_pid=options.parent_pid,
        runtime_dependency_install=options.runtime_dependency_install,
    )


def main() -> None:
    """Run Flower's ClientApp process under the guard; the arguments are Flower's."""
    from protocol.flower_internals import run_clientapp

    try:
        home = home_of_node()
        install(Guard(home), run_clientapp)
        call_through(home.api)
        bring_token()
    except ConciliumError as error:
        logging.getLogger().error("%s", error)
        sys.exit(1)
    run_loop(run_clientapp)


if __name__ == "__main__":
    main()
