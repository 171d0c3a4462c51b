"""Work that takes longer than a person waits for a page: done beside, looked at again by name.

Each piece of work has a name and is done once at a time. What came of it, or what it raised, is kept until somebody has seen it
or `_KEPT` others have come to an end since.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cloister.foundation.errors import CloisterError, Conflict

_LOG = logging.getLogger("cloister.web.work")
_KEPT = 50
_AT_ONCE = 2


@dataclass
class Piece:
    """One piece of work; `about` is whatever its beginner wants to find again."""

    about: Any = None
    began: float = field(default_factory=time.monotonic)
    ended: threading.Event = field(default_factory=threading.Event)
    result: Any = None
    error: CloisterError | None = None

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return time.monotonic() - self.began


class Work:
    """Does it, at most two pieces at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces: OrderedDict[str, Piece] = OrderedDict()

    def begin(self, name: str, function: Callable[[], Any]) -> Piece:
        """Begins a piece of work, unless it is under way already. Raises `Conflict` while there is too much of it."""
        with self._lock:
            known = self._pieces.get(name)
            if known is not None and not known.ended.is_set():
                return known
            if sum(not piece.ended.is_set() for piece in self._pieces.values()) >= _AT_ONCE:
                raise Conflict(
                    "The server is reading other datasets.",
                    "Two at a time are enough for it.",
                    "Wait a moment.",
                )
            piece = self._pieces[name] = Piece()
            self._pieces.move_to_end(name)
            for old in [key for key, item in self._pieces.items() if item.ended.is_set()][:-_KEPT]:
                del self._pieces[old]
        threading.Thread(
            target=self._do, args=(piece, function), name=f"work {name}"[:40], daemon=True
        ).start()
        return piece

    def known(self, name: str) -> Piece | None:
        """A piece of work that is under way, or whose end nobody has seen."""
        with self._lock:
            return self._pieces.get(name)

    def seen(self, name: str) -> None:
        """Forgets one that has come to its end."""
        with self._lock:
            piece = self._pieces.get(name)
            if piece is not None and piece.ended.is_set():
                del self._pieces[name]

    @staticmethod
    def _do(piece: Piece, function: Callable[[], Any]) -> None:
        try:
            piece.result = function()
        except CloisterError as error:
            piece.error = error
        except MemoryError:
            piece.error = CloisterError(
                "This server has not enough memory for it.", "It is read whole.", "Split the data."
            )
        except Exception as error:
            _LOG.error("work failed: %s", type(error).__name__)
            piece.error = CloisterError(
                "Something went wrong inside the server.", type(error).__name__, "See its log."
            )
        finally:
            piece.ended.set()
