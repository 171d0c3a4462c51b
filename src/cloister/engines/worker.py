"""The child's side: `python -I -m cloister.engines.worker`. Reads settings, confines itself, then answers calls one by one.

Rules:
1. Standard input and output carry frames and nothing else; whatever a library prints goes to standard error.
2. The end of the input ends the process at once, also in the middle of a call.
3. A `CloisterError` of a method crosses as its problem document; of any other exception only its class's name does, because a
   message may contain data.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import traceback
from typing import Any, BinaryIO


def main() -> int:
    """Runs until the input ends."""
    incoming = os.fdopen(os.dup(0), "rb", buffering=1 << 16)
    outgoing = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    silent = os.open(os.devnull, os.O_RDONLY)
    os.dup2(silent, 0)
    os.dup2(2, 1)
    settings = _settings(incoming)
    from cloister.engines import sandbox

    report = sandbox.enter(settings)
    # numpy starts threads when it is imported: only now, so that they are confined too.
    from cloister.engines.frames import FrameLimits, write_frame
    from cloister.engines.methods import check_table

    table = check_table(settings["methods"])
    limits = FrameLimits(**settings["limits"])
    write_frame(outgoing, {"sandbox": report}, {}, limits)
    calls: queue.Queue[Any] = queue.Queue(1)
    threading.Thread(target=_listen, args=(incoming, calls, limits), daemon=True).start()
    while True:
        header, arrays = calls.get()
        answer, results = _answer(table, header, arrays)
        try:
            write_frame(outgoing, answer, results, limits)
        except BrokenPipeError:
            return 0
        except Exception as error:  # the result does not fit a frame
            write_frame(outgoing, {"error": _problem(error)}, {}, limits)


def _settings(stream: BinaryIO) -> dict[str, Any]:
    """One line of JSON, before anything that needs numpy is imported."""
    import json

    line = stream.readline(1 << 20)
    if not line.endswith(b"\n"):
        sys.exit(2)
    settings = json.loads(line)
    if not isinstance(settings, dict):
        sys.exit(2)
    return settings


def _listen(stream: BinaryIO, calls: queue.Queue[Any], limits: Any) -> None:
    from cloister.engines.frames import read_frame

    while True:
        try:
            calls.put(read_frame(stream, limits))
        except BaseException:  # rule 2; also a malformed frame: the two sides no longer understand each other
            os._exit(0)


def _answer(
    table: dict[str, str], header: dict[str, Any], arrays: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    from cloister.engines.methods import resolve

    try:
        result, values = resolve(table, str(header.get("method", "")))(header.get("arguments", {}), arrays)
        return {"result": dict(result)}, dict(values)
    except Exception as error:
        return {"error": _problem(error)}, {}


def _problem(error: BaseException) -> dict[str, Any]:
    from cloister.foundation.errors import CloisterError

    if isinstance(error, CloisterError):
        return error.problem()
    sys.stderr.write("".join(traceback.format_tb(error.__traceback__)) + type(error).__name__ + "\n")
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)[:200]:
        return CloisterError(
            "The engine ran out of memory.",
            "The work needs more than its limit.",
            "Use smaller batches or a larger limit.",
        ).problem()
    return CloisterError(
        "The engine failed.", f"It stopped with {type(error).__name__}.", "See the server's log."
    ).problem()


if __name__ == "__main__":
    sys.exit(main())
