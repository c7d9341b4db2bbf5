"""FedAvg of one NumPy array, as in Flower's own first example; a round's end is written down where it is aggregated."""

import json
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

client_app = ClientApp()
server_app = ServerApp()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Wait as long as training would take, then send the array back."""
    settings = message.content["config"]
    seed = [int(settings["server-round"]), *str(context.node_config["center"]).encode()]
    seconds = float(np.random.default_rng(seed).uniform(float(settings["least"]), float(settings["most"])))
    time.sleep(seconds)
    arrays = {key: Array(array.numpy() + np.float32(1e-3)) for key, array in message.content["arrays"].items()}
    metrics = MetricRecord({"num-examples": 4, "seconds": seconds})
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message)


class Timed(FedAvg):
    """Writes a line a round."""

    def __init__(self, log: Path) -> None:
        super().__init__(fraction_evaluate=0.0, min_train_nodes=2, min_available_nodes=2)
        self._log = log

    def aggregate_train(self, server_round, replies):  # noqa: ANN001, ANN201 - Flower's own signature
        """As FedAvg; notes when the round ended and how long its slowest node trained."""
        replies = list(replies)
        slowest = max(reply.content["metrics"]["seconds"] for reply in replies)
        result = super().aggregate_train(server_round, replies)
        with self._log.open("a") as lines:
            lines.write(json.dumps({"round": server_round, "at": time.time(), "slowest_s": slowest}) + "\n")
        return result


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Average the array of all nodes for some rounds."""
    config = context.run_config
    arrays = ArrayRecord({"values": Array(np.zeros(int(config["values"]), dtype=np.float32))})
    train_config = ConfigRecord({"least": config["least"], "most": config["most"]})
    Timed(Path(str(config["log"]))).start(
        grid=grid, initial_arrays=arrays, num_rounds=int(config["rounds"]), timeout=3600, train_config=train_config
    )
