"""What comes back in place of an answer: bare codes, problem documents, and what they mean to the caller.

Rules:
1. A message that does not open is answered by a bare code, which says no more than that; it is believed only in so
   far as the call fails.
2. A problem document is the sealed answer of a handler that raised; what it calls `local` is not believed, because a
   node tells that only to its own people.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from cloister.foundation.canonical import canonical, parse
from cloister.foundation.errors import BadInput, CloisterError, Unreachable, from_problem

_HINT = b"CLP1"
HINTS = {
    "busy": "It has too much to do at the moment.",
    "bad-input": "It could not read the message, or it is over a limit.",
    "not-trusted": "It does not trust the message: it may not have this party's present card.",
    "refused": "It refused the message, for example because the clocks of both machines differ.",
}


def hint(code: str) -> bytes:
    """A bare code as it travels."""
    return _HINT + code.encode("ascii")


def read_hint(reply: bytes) -> str | None:
    """The code, if `reply` is one; an unknown one counts as `bad-input`."""
    if reply[: len(_HINT)] != _HINT or len(reply) > 32:
        return None
    code = reply[len(_HINT) :].decode("ascii", "replace")
    return code if code in HINTS else "bad-input"


def problem(error: CloisterError) -> bytes:
    """An error as a problem document that fits into one message."""
    document = error.problem()
    try:
        data = canonical(document)
    except BadInput:
        data = b""
    if not data or len(data) > 60 << 10:
        plain = {name: str(document[name])[:2000] for name in ("type", "title", "detail", "remedy")}
        data = canonical({**plain, "status": error.status})
    return data


def read_problem(data: bytes) -> CloisterError:
    """The error that another party reported. Raises `BadInput` if it cannot be read."""
    document = parse(data, max_bytes=64 << 10)
    if not isinstance(document, dict):
        raise BadInput("A party reported a problem in a form that could not be read.")
    return from_problem({name: value for name, value in document.items() if name != "local"})


def unreachable(to: str, why: str, **detail: object) -> Unreachable:
    """The error of a call that was not answered."""
    return Unreachable(
        "A party's server did not answer.",
        why,
        "See whether its server is running and connected; the call may be repeated.",
        party=to,
        **detail,
    )


def pauses() -> Iterator[float]:
    """Seconds to wait before the first, second, … repetition."""
    return itertools.chain((0.05, 0.1, 0.2, 0.4), itertools.repeat(0.8))
