"""How a node tells the others that its seat of a task has ended: phase and kind of error, and nothing about data."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.foundation.canonical import canonical, parse
from cloister.foundation.errors import BadInput, CloisterError, TaskFailed
from cloister.storage.tasks import TaskRow

MAX_NOTICE = 4096


class Notice(BaseModel):
    """A failure notice: in which phase, and the error's stable `type`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    phase: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,119}$")
    error: str = Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")

    def encode(self) -> bytes:
        """Canonical JSON."""
        return canonical(self.model_dump(mode="json"))

    @classmethod
    def decode(cls, data: bytes) -> Notice:
        """Reads what `encode` wrote. Raises `BadInput`."""
        try:
            return cls.model_validate(parse(data, max_bytes=MAX_NOTICE))
        except ValidationError:
            raise BadInput(
                "A failure notice could not be read.", "It is not of the agreed form.", "Update the sender."
            ) from None


def quorum_failed(task: TaskRow, answered: int, quorum: int, left: Sequence[str]) -> TaskFailed:
    """Too few answers in a phase; `left` tells of parties that reported a failure of their own."""
    return TaskFailed(
        f"The task failed in phase {task.phase}.",
        f"{answered} of the parties it waited for answered; {quorum} are needed. {' '.join(left)}".rstrip(),
        "See which servers are connected and what theirs say, and start the task again.",
        phase=task.phase,
    )


def unexpected(task: TaskRow, error: BaseException) -> CloisterError:
    """A step ended with an error that is not Cloister's own; its text may repeat data, so it is not told."""
    return CloisterError(
        f"A step failed unexpectedly in phase {task.phase}.",
        f"It ended with {type(error).__name__}.",
        "Look into this server's own log, and report it to the authors of the protection.",
        phase=task.phase,
    )


def log_frames(log: logging.Logger, what: str, error: BaseException) -> None:
    """Logs where an unexpected error came from, without its text or any values: both may repeat data."""
    frames = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
    log.error("%s ended with %s\n%s", what, type(error).__name__, frames)
