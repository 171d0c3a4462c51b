"""The hub of `federated_round.py` as a process: says where it is and gives out invitations."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

from memory import peak

from cloister.hub.server import Hub, create_hub, run_hub
from cloister.identity.keystore import Cost, Passphrase

UNLOCK = Passphrase(b"a benchmark", Cost(1, 1, 8 << 10))


def answer_parent() -> None:
    """Answers each line with processor seconds and memory used so far; ends this process when its standard input does."""
    for _ in sys.stdin:
        print(json.dumps({"cpu": time.process_time(), "peak": peak()}), flush=True)
    os._exit(0)


def ready(hub: Hub) -> None:
    threading.Thread(target=answer_parent, daemon=True).start()
    count = int(sys.argv[2])
    print(json.dumps({"invitations": [hub.invite().encode() for _ in range(count)]}), flush=True)


if __name__ == "__main__":
    create_hub(Path(sys.argv[1]), UNLOCK)
    run_hub(
        Path(sys.argv[1]), UNLOCK, host="127.0.0.1", port=0, enrol_port=0, names=["127.0.0.1"], ready=ready
    )
