"""A hub as a process, for tests: says `ready`, then drops the parties that standard input names."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from cloister.hub.server import Hub, run_hub
from cloister.identity.keystore import Cost, Passphrase

UNLOCK = Passphrase(b"only for tests", Cost(1, 1, 8 << 10))


def ready(hub: Hub) -> None:
    def listen() -> None:
        for line in sys.stdin:
            hub.drop(line.strip())

    threading.Thread(target=listen, daemon=True).start()
    facts = {"party": hub.party, "invitations": [hub.invite().encode() for _ in range(6)]}
    sys.stdout.write("ready " + json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run_hub(
        Path(sys.argv[1]), UNLOCK, host="127.0.0.1", port=0, enrol_port=0, names=["127.0.0.1"], ready=ready
    )
