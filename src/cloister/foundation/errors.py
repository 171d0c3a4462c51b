"""Errors that tell a person what happened, why, and what to do next.

Rules:
1. Every error that crosses a package's public surface is a `CloisterError`.
2. `what`, `why` and `remedy` never contain records, secrets or anything computed on records.
3. `type` is stable: programs branch on it (RFC 9457 `type`), people read the rest.
4. What only this node's own people may see travels as `local`, over the node's own socket alone. From anybody else it is
   left out, because it would be shown as this node's own word.
"""

from __future__ import annotations

from typing import Any, ClassVar

from cloister.foundation.text import readable


class CloisterError(Exception):
    """Something did not work; says what, why, and what to do next.

    Args:
        what: what happened, one sentence.
        why: the reason, one sentence.
        remedy: what the reader can do now.
        detail: further public, machine-readable facts (JSON values only).
    """

    type: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, why: str = "", remedy: str = "", **detail: Any) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.remedy = remedy
        self.detail = detail

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.why, self.remedy) if part)

    def problem(self) -> dict[str, Any]:
        """The error as an RFC 9457 problem document (`what` is its title, `why` its detail)."""
        return {
            "type": f"urn:cloister:problem:{self.type}",
            "title": self.what,
            "status": self.status,
            "detail": self.why,
            "remedy": self.remedy,
            **{key: value for key, value in self.detail.items() if key not in _RESERVED},
        }


_RESERVED = frozenset({"type", "title", "status", "detail", "remedy"})
_ARGUMENTS = frozenset({"self", "what", "why", "clause"})
_FOREIGN = _RESERVED | _ARGUMENTS | {"local"}
_MAX_DETAILS = 64


class BadInput(CloisterError):
    """What was given cannot be used: wrong format, over a limit, missing."""

    type, status, exit_code = "bad-input", 422, 2


class Refused(CloisterError):
    """A rule says no. `clause` names the rule: a clause of an agreement or a rule of the house."""

    type, status, exit_code = "refused", 403, 3

    def __init__(
        self, what: str, why: str = "", remedy: str = "", *, clause: str = "", **detail: Any
    ) -> None:
        super().__init__(what, why, remedy, clause=clause, **detail)
        self.clause = clause


class NotTrusted(Refused):
    """A signature, fingerprint, certificate or proof does not hold."""

    type = "not-trusted"


class Tampered(NotTrusted):
    """Something that must not change has changed."""

    type = "tampered"


class Conflict(CloisterError):
    """The request does not fit the present state (for example a lifecycle step out of order)."""

    type, status, exit_code = "conflict", 409, 3


class NotFound(CloisterError):
    """There is nothing by that name here."""

    type, status, exit_code = "not-found", 404, 2


class Unreachable(CloisterError):
    """A party or service did not answer."""

    type, status, exit_code = "unreachable", 503, 4


class OutOfSpace(CloisterError):
    """The disk is full or a quota is reached; nothing was half-written."""

    type, status, exit_code = "out-of-space", 507, 1


class TaskFailed(CloisterError):
    """A task ended without a result; `phase` names where."""

    type, status, exit_code = "task-failed", 424, 1


class NotSignedIn(CloisterError):
    """Nobody is signed in, and this is not for everybody."""

    type = "not-signed-in"
    status = 401
    exit_code = 3


class NotAllowed(CloisterError):
    """The person may not do this."""

    type = "not-allowed"
    status = 403
    exit_code = 3


class TooLarge(CloisterError):
    """More was sent than this takes."""

    type = "too-large"
    status = 413
    exit_code = 2


class NotFresh(CloisterError):
    """The person may do this once the password was entered, or the passkey used, again."""

    type = "not-fresh"
    status = 403
    exit_code = 3


def from_problem(document: dict[str, Any], *, own: bool = False) -> CloisterError:
    """The error that a problem document describes; an unknown type becomes the plain error of its status.

    Args:
        document: the problem document.
        own: it came over the own node's socket (rule 4).

    The document may come from anybody: what does not fit is left out, and nothing it says can make this raise. Its
    words are shown on terminals and pages: what would act there instead of being read is replaced.
    """
    kind = str(document.get("type", "")).removeprefix("urn:cloister:problem:")
    plain = _BY_STATUS.get(str(document.get("status")), CloisterError)
    cls = _BY_TYPE.get(kind, plain)
    detail = {
        readable(key): _plain(value)
        for key, value in list(document.items())[:_MAX_DETAILS]
        if isinstance(key, str) and key not in (_RESERVED | _ARGUMENTS if own else _FOREIGN)
    }
    clause = document.get("clause")
    if isinstance(clause, str):
        detail["clause"] = readable(clause[:200])
    return cls(
        readable(str(document.get("title", "The other side reported an error."))[:2000]),
        readable(str(document.get("detail", ""))[:4000]),
        readable(str(document.get("remedy", ""))[:4000]),
        **detail,
    )


def _plain(value: Any, depth: int = 8) -> Any:
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, list):
        return [_plain(item, depth - 1) for item in value] if depth else []
    if isinstance(value, dict):
        return {readable(str(key)): _plain(item, depth - 1) for key, item in value.items()} if depth else {}
    return value


def _subclasses(cls: type[CloisterError]) -> dict[str, type[CloisterError]]:
    found = {cls.type: cls}
    for sub in cls.__subclasses__():
        found.update(_subclasses(sub))
    return found


_BY_TYPE = _subclasses(CloisterError)
_BY_STATUS: dict[str, type[CloisterError]] = {
    str(cls.status): cls
    for cls in (BadInput, Refused, Conflict, NotFound, Unreachable, OutOfSpace, TaskFailed)
}
