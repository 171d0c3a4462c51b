"""FedAvg behind SecAgg+; a round begins with its keys and ends as the sum is unmasked and averaged.

All owners' weights are alike and all hold shares of all; two thirds of them open a sum. Values are clipped to Flower's default
and rounded to its default of 22 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.compat.common.recorddict_compat import arrayrecord_to_parameters
from flwr.server import LegacyContext, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_PARAMS_RECORD
from flwr.serverapp import ServerApp
from rounds.measured import Counted, Rounds

app = ServerApp()


@app.main()
def main(grid: Any, context: Any) -> None:
    config = context.run_config
    nodes = int(config["nodes"])
    measured = Rounds(config["told"])
    secure = SecAggPlusWorkflow(num_shares=1.0, reconstruction_threshold=0.67, max_weight=1.0)

    def timed(grid: Any, context: Any) -> None:
        measured.begin()
        secure(grid, context)
        measured.end()

    start = [np.zeros(int(config["size"]), np.float32)]
    strategy = FedAvg(
        fraction_evaluate=0.0,
        min_fit_clients=nodes,
        min_available_clients=nodes,
        initial_parameters=ndarrays_to_parameters(start),
    )
    legacy = LegacyContext(
        context=context, config=ServerConfig(num_rounds=int(config["rounds"])), strategy=strategy
    )
    DefaultWorkflow(fit_workflow=timed)(Counted(grid, measured), legacy)
    reached = arrayrecord_to_parameters(legacy.state.array_records[MAIN_PARAMS_RECORD], keep_input=True)
    measured.tell(parameters_to_ndarrays(reached)[0])
