"""What servers write to a terminal: one line for each event, and nothing in it that acts there."""

from __future__ import annotations

import logging

from cloister.foundation.text import one_line, readable


def log_to_stderr(level: int = logging.INFO) -> None:
    """Plain log lines with times; what libraries say only from warnings on.

    A log is read on terminals, and quotes what others sent: nothing of that acts there, or looks like a line of this node's.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(Readable("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("cloister").setLevel(level)


class Readable(logging.Formatter):
    """One record, one line that begins with a time; the frames of an error follow it, set in."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        return one_line(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        return readable(super().format(record)).replace("\n", "\n    ")
