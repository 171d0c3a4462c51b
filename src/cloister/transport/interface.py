"""What carries messages between nodes, whatever lies beneath.

A call is a request with a reply, signed and sealed end to end in both directions. Large bodies are not pushed: the
sender offers them and the recipient pulls in chunks, so that control is never behind bulk; callers do not notice. A
lost call is the caller's to repeat under the same idempotency key; what matters is kept in the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Attachment:
    """A large body beside a call's small one, and its digest, so that nobody on its way has to copy or digest it again.

    Attributes:
        body: the bytes.
        digest: theirs. The recipient's transport computed it on what it pulled; the sender's does not check it.
    """

    body: bytes = field(repr=False)
    digest: str


@dataclass(frozen=True)
class Call:
    """A request as its recipient sees it, after signature, seal, recipient, size and deadline were checked.

    Attributes:
        sender: the fingerprint of the party that signed it.
        method: what is asked, for example `task.message`.
        body: the opened body.
        key: the sender's idempotency key; the same key again is the same call again, and gets the same answer.
        attached: a large body beside `body`, if the sender attached one.
    """

    sender: str
    method: str
    body: bytes = field(repr=False)
    key: str
    attached: Attachment | None = None


@dataclass(frozen=True)
class Presence:
    """A party's node came (`here=True`) or went."""

    party: str
    here: bool


Check = Callable[[Call], None]
"""Looks at a call before its large body is pulled, and raises a `CloisterError` to refuse it."""

Handler = Callable[[Call], bytes]
"""Answers a call. Runs in an executor thread; a `CloisterError` that it raises reaches the caller as such."""


class Transport(Protocol):
    """Connects one node with the others of its hub."""

    def call(
        self,
        to: str,
        method: str,
        body: bytes,
        *,
        deadline: float,
        key: str | None = None,
        attached: Attachment | None = None,
        answer: int | None = None,
    ) -> bytes:
        """The answer of another party's node.

        Args:
            to: the recipient's fingerprint.
            method: a method that the recipient serves.
            body: at most the transport's limit (default 1 GiB); large ones are pulled by the recipient.
            deadline: seconds until the call counts as lost.
            key: idempotency key; a fresh one if absent.
            attached: pulled by the recipient before its handler runs; `body` then travels within the message, and may
                have as many bytes as fit into one (`Tuning.inline`).
            answer: bytes of the largest answer that is taken; as many as fit into a message if absent, so that no party
                that is asked something small can fill this node's memory.

        Raises:
            BadInput: the answer is larger (clause `size`); nothing of it was pulled.
            Unreachable: no answer in time (also: no such node, or the hub denies it; the carrier cannot tell).
            CloisterError: what the other side's handler raised.
            NotTrusted: the answer's signature or seal does not hold.
        """
        ...

    def serve(
        self, method: str, handler: Handler, *, largest: int | None = None, check: Check | None = None
    ) -> None:
        """Answers calls of `method` from now on.

        Args:
            method: its name.
            handler: answers a call.
            largest: bytes of the largest body, or attachment, that a call may have; the transport's limit if absent.
            check: asked before a large body is pulled, with the call as it is without it.
        """
        ...

    def presence(self) -> Iterator[Presence]:
        """Who came and went since the last look, oldest first; never blocks."""
        ...

    def here(self) -> frozenset[str]:
        """Which parties' nodes are connected, as far as the hub says."""
        ...

    def close(self) -> None:
        """Leaves; pending calls end as unreachable."""
        ...
