"""One message on the wire: sealed to its recipient, then signed by its sender with both algorithms.

A frame is a clear header, a signature over it, and a sealed part. The header tells the relay no more than it needs
(who, to whom, until when, how much); the method, the idempotency key and the body are in the sealed part. The sealed
part is bound to the header (HPKE `info`), the header to the sealed part (by its digest), and the signature covers
both, so nothing can be cut out of one message and used in another.

Rules, each with a test of its own:
1. A frame is read within limits: over them, cut short or with bytes left over, it is refused before any parsing.
2. The header is canonical JSON of a known version; anything else is refused.
3. A message is for exactly one party and one set of its keys; another recipient refuses it.
4. A message is refused after its deadline (plus the allowed drift of clocks), and if its deadline lies further ahead
   than the limit, because replays are remembered only that long.
5. The sealed part has the size and digest that the header states.
6. The sender is a party known now, not revoked, and the header names its present keys.
7. Both signatures hold over the header, under a domain of their own, before anything is decrypted.
8. The sealed part opens only with the recipient's keys and under this header.
9. An answer is signed and sealed as a request is; it names the request's id, method and key, and counts only for
   these (`open_answer`).

Layout: `CLM1`, header length (4 bytes, big endian), header, signature (3373 bytes), sealed part. The opened part: its
head's length (2 bytes), the head, the content.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.foundation.canonical import canonical, parse_canonical
from cloister.foundation.clock import parse_rfc3339, rfc3339
from cloister.foundation.digests import DIGEST_PATTERN, digest, same
from cloister.foundation.errors import BadInput, NotTrusted, Refused
from cloister.identity import sealing
from cloister.identity.keys import PartyId, SecretKeys, Signature
from cloister.transport.peers import Peers

VERSION = 1
MAGIC = b"CLM1"
MAX_HEADER = 4096
MAX_HEAD = 2048
DOMAIN = b"cloister/message@1\x00"
_LENGTH = struct.Struct(">I")
_HEAD_LENGTH = struct.Struct(">H")

Content: TypeAlias = Literal["body", "offer", "attached", "problem"]
"""What the sealed part carries: the body itself, an offer of a larger one (see `blobs`), the body with an offer of a
larger one beside it, or a problem document."""

KEY_PATTERN = r"^[!-~]{1,256}$"
METHOD_PATTERN = r"^[a-z][a-z0-9_.\-]{0,63}$"
_Keyset = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class Header(BaseModel):
    """What travels in clear: all that the relay can read of a message.

    Attributes:
        version: of this format.
        id: fresh for every frame.
        sender, recipient: fingerprints.
        sender_keys, recipient_keys: names of the key sets used (`PublicKeys.keyset`).
        sequence: counts the sender's frames to this recipient since it started.
        deadline: RFC 3339; later the message counts as lost.
        reply_to: for an answer the request's `id`, otherwise empty.
        size: bytes of the sealed part.
        digest: of the sealed part.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: int
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    sender: PartyId
    sender_keys: _Keyset
    recipient: PartyId
    recipient_keys: _Keyset
    sequence: Annotated[int, Field(ge=0, lt=2**53)]
    deadline: Annotated[str, Field(max_length=20)]
    reply_to: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")] = ""
    size: Annotated[int, Field(ge=0, lt=2**53)]
    digest: Annotated[str, Field(pattern=DIGEST_PATTERN)]

    def bound(self) -> bytes:
        """What the sealed part is bound to: the header without the digest of that part."""
        return canonical(self.model_dump(mode="json", exclude={"digest"}))

    def encode(self) -> bytes:
        """The header's canonical form."""
        return canonical(self.model_dump(mode="json"))


class _Head(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    method: Annotated[str, Field(pattern=METHOD_PATTERN)]
    key: Annotated[str, Field(pattern=KEY_PATTERN)]
    content: Content


@dataclass(frozen=True)
class Opened:
    """A message after every rule held.

    Attributes:
        header: the clear part.
        method: what is asked (or was, for an answer).
        key: the request's idempotency key.
        content: how to read `body`.
        body: the opened content.
    """

    header: Header
    method: str
    key: str
    content: Content
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Limits:
    """What a recipient lets pass.

    Attributes:
        frame: bytes of a whole frame.
        drift: seconds by which the parties' clocks may differ.
        ahead: seconds that a deadline may lie in the future.
    """

    frame: int = 1 << 20
    drift: int = 120
    ahead: int = 24 * 3600


DEFAULT_LIMITS = Limits()


def fresh() -> str:
    """A new random id: 32 hexadecimal digits."""
    return secrets.token_hex(16)


def pack(
    *,
    sender: str,
    keys: SecretKeys,
    recipient: str,
    peers: Peers,
    method: str,
    key: str,
    body: bytes,
    deadline: int,
    content: Content = "body",
    sequence: int = 0,
    reply_to: str = "",
) -> tuple[Header, bytes]:
    """The header and the whole frame of a message.

    Args:
        sender: this party's fingerprint.
        keys: its secret keys.
        recipient: the other party's fingerprint.
        peers: where the recipient's present keys are found.
        method: what is asked; letters, digits, `.`, `_`, `-`.
        key: the request's idempotency key; printable ASCII.
        body: what only the recipient may read.
        deadline: seconds since the epoch.
        content: how the recipient reads `body`.
        sequence: counts this sender's frames to this recipient.
        reply_to: for an answer, the request's `id`.

    Raises:
        NotTrusted: the recipient is unknown or revoked.
        BadInput: a method or key that the format does not allow.
    """
    theirs = peers.keys_for(recipient)
    try:
        head = canonical(_Head(method=method, key=key, content=content).model_dump())
    except ValidationError:
        raise BadInput(
            "A message could not be written.",
            "Its method or idempotency key has characters or a length that the format does not allow.",
            "Use printable ASCII without spaces: at most 64 characters for a method, 256 for a key.",
        ) from None
    plain = b"".join((_HEAD_LENGTH.pack(len(head)), head, body))
    header = Header(
        version=VERSION,
        id=fresh(),
        sender=sender,
        sender_keys=keys.public.keyset,
        recipient=recipient,
        recipient_keys=theirs.keyset,
        sequence=sequence,
        deadline=rfc3339(deadline),
        reply_to=reply_to,
        size=len(plain) + sealing.OVERHEAD,
        digest="sha256:" + "0" * 64,
    )
    sealed = sealing.seal(plain, theirs, header.bound())
    header = header.model_copy(update={"digest": digest(sealed)})
    encoded = header.encode()
    signature = keys.sign(DOMAIN + encoded).encode()
    return header, b"".join((MAGIC, _LENGTH.pack(len(encoded)), encoded, signature, sealed))


def open_(
    frame: bytes,
    *,
    party: str,
    keys: Sequence[SecretKeys],
    peers: Peers,
    now: int,
    limits: Limits = DEFAULT_LIMITS,
) -> Opened:
    """A received message, once every rule of this module held.

    Args:
        frame: foreign bytes.
        party: this party's fingerprint.
        keys: its secret keys, present ones first; earlier ones are still tried while messages are on their way.
        peers: where the sender's present keys are found.
        now: seconds since the epoch.
        limits: what is let pass.

    Raises:
        BadInput: malformed or over a limit.
        NotTrusted: another recipient, an unknown or revoked sender, a signature or seal that does not hold.
        Refused: past its deadline (clause `deadline`).
    """
    header, encoded, signature, sealed = _split(frame, limits)
    if header.recipient != party:
        raise _distrust("It is addressed to another party.", "recipient")
    own = next((item for item in keys if item.public.keyset == header.recipient_keys), None)
    if own is None:
        raise _distrust("It is sealed to keys that this party does not use (any more).", "recipient-keys")
    _check_time(header, now, limits)
    if len(sealed) != header.size or not same(digest(sealed), header.digest):
        raise _distrust("Its sealed part is not the one that its header states.", "digest")
    theirs = peers.keys_for(header.sender)
    if theirs.keyset != header.sender_keys:
        raise _distrust("It is signed with keys that do not speak for its sender now.", "sender-keys")
    theirs.verify(DOMAIN + encoded, Signature.decode(signature))
    plain = sealing.unseal(sealed, own, header.bound())
    head, body = _split_plain(plain)
    return Opened(header, head.method, head.key, head.content, body)


def open_answer(
    frame: bytes,
    request: Header,
    method: str,
    key: str,
    *,
    keys: Sequence[SecretKeys],
    peers: Peers,
    now: int,
    limits: Limits = DEFAULT_LIMITS,
) -> Opened:
    """The answer to `request`, which this party sent. Raises as `open_`, and `NotTrusted` for any other message."""
    opened = open_(frame, party=request.sender, keys=keys, peers=peers, now=now, limits=limits)
    if opened.header.sender != request.recipient:
        raise _distrust("It is an answer by another party than the one asked.", "answer")
    if (opened.header.reply_to, opened.method, opened.key) != (request.id, method, key):
        raise _distrust("It answers another request.", "answer")
    return opened


def _split(frame: bytes, limits: Limits) -> tuple[Header, bytes, bytes, bytes]:
    if len(frame) > limits.frame:
        raise BadInput(
            "A message is over the size limit.",
            f"It has {len(frame)} bytes; the limit is {limits.frame}.",
            "Send large bodies as offers; Cloister does so by itself.",
            clause="size",
        )
    start = len(MAGIC) + _LENGTH.size
    if len(frame) < start or frame[: len(MAGIC)] != MAGIC:
        raise _malformed("It does not begin as a message.")
    (length,) = _LENGTH.unpack(frame[len(MAGIC) : start])
    end = start + length
    if length > MAX_HEADER or len(frame) < end + Signature.SIZE + sealing.OVERHEAD:
        raise _malformed("It is cut short, or its lengths do not fit.")
    encoded = frame[start:end]
    header = _read_header(encoded)
    sealed = frame[end + Signature.SIZE :]
    return header, encoded, frame[end : end + Signature.SIZE], sealed


def _read_header(encoded: bytes) -> Header:
    value: Any = parse_canonical(encoded, max_bytes=MAX_HEADER)
    if isinstance(value, dict) and value.get("version") != VERSION:
        raise BadInput(
            "A message has a version that is not known here.",
            f"This server reads version {VERSION}.",
            "Use the same release of Cloister at both parties.",
            clause="version",
        )
    try:
        return Header.model_validate(value)
    except ValidationError:
        raise _malformed("Its header has fields that are missing, unknown or of the wrong kind.") from None


def _split_plain(plain: bytes) -> tuple[_Head, bytes]:
    if len(plain) < _HEAD_LENGTH.size:
        raise _malformed("Its sealed part is too short.")
    (length,) = _HEAD_LENGTH.unpack(plain[: _HEAD_LENGTH.size])
    end = _HEAD_LENGTH.size + length
    if length > MAX_HEAD or len(plain) < end:
        raise _malformed("The lengths in its sealed part do not fit.")
    try:
        head = _Head.model_validate(parse_canonical(plain[_HEAD_LENGTH.size : end], max_bytes=MAX_HEAD))
    except ValidationError:
        raise _malformed("Its sealed part does not begin as it should.") from None
    return head, plain[end:]


def _check_time(header: Header, now: int, limits: Limits) -> None:
    deadline = parse_rfc3339(header.deadline)
    if rfc3339(deadline) != header.deadline:
        raise _malformed("Its deadline is not written in the one allowed form.")
    if now > deadline + limits.drift:
        raise Refused(
            "A message came after its deadline.",
            f"It was due by {header.deadline}.",
            "Send it again; if it repeats, compare the clocks of both machines.",
            clause="deadline",
        )
    if deadline > now + limits.ahead + limits.drift:
        raise Refused(
            "A message has a deadline too far ahead.",
            f"The limit is {limits.ahead} seconds.",
            "Give it a nearer deadline; if it has one, compare the clocks of both machines.",
            clause="deadline",
        )


def _malformed(why: str) -> BadInput:
    return BadInput("A message could not be read.", why, "Have it sent again.", clause="format")


def _distrust(why: str, clause: str) -> NotTrusted:
    return NotTrusted(
        "A message was refused.",
        why,
        "If it repeats, exchange party cards with its sender again.",
        clause=clause,
    )
