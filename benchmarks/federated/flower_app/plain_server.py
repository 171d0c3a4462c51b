"""FedAvg over one vector; a round begins as the weights are sent and ends as they are averaged."""

from __future__ import annotations

from typing import Any

import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from rounds.measured import Counted, Rounds

app = ServerApp()


class Timed(FedAvg):
    def __init__(self, measured: Rounds, **options: Any) -> None:
        super().__init__(**options)
        self.measured = measured

    def configure_train(self, *args: Any, **options: Any) -> Any:
        self.measured.begin()
        return super().configure_train(*args, **options)

    def aggregate_train(self, *args: Any, **options: Any) -> Any:
        result = super().aggregate_train(*args, **options)
        self.measured.end()
        return result


@app.main()
def main(grid: Any, context: Any) -> None:
    config = context.run_config
    nodes = int(config["nodes"])
    measured = Rounds(config["told"])
    strategy = Timed(measured, fraction_evaluate=0.0, min_train_nodes=nodes, min_available_nodes=nodes)
    start = ArrayRecord([np.zeros(int(config["size"]), np.float32)])
    result = strategy.start(
        grid=Counted(grid, measured), initial_arrays=start, num_rounds=int(config["rounds"])
    )
    measured.tell(result.arrays.to_numpy_ndarrays()[0])
