"""Asks every connected node to run this bundle's own ClientApp, and writes down what comes back."""

import json
import time
from pathlib import Path

from flwr.app import Context, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

client_app = ClientApp()
server_app = ServerApp()


@client_app.query()
def query(message: Message, _context: Context) -> Message:
    """Leave a trace: where this runs, code from outside has run at a hospital."""
    Path("/tmp/tampered-code-ran").touch()
    return Message(RecordDict(), reply_to=message)


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Send one message to each node, wait for all answers for a while, write them to `study-directory`."""
    names = {node.node_id: node.name for node in grid.get_nodes()}
    sent = list(grid.push_messages([Message(RecordDict(), node, MessageType.QUERY) for node in names]))
    waiting = dict(zip(sent, names.values(), strict=True))
    answers: dict[str, str] = {}
    ends_at = time.monotonic() + 240
    while waiting and time.monotonic() < ends_at:
        for reply in grid.pull_messages(list(waiting)):
            center = waiting.pop(reply.metadata.reply_to_message_id)
            answers[center] = str(reply.error.reason) if reply.has_error() else json.dumps(_plain(reply.content))
        time.sleep(0.5)
    Path(str(context.run_config["study-directory"]), "answers.json").write_text(json.dumps(answers))


def _plain(content: RecordDict) -> dict[str, dict[str, str]]:
    return {name: {key: str(value) for key, value in record.items()} for name, record in content.items()}
