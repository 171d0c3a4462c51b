"""Large bodies: encrypted once, offered by their sender, pulled by their recipient in chunks.

A body over the inline limit is not pushed through the relay. Its sender puts it on a *shelf* under a fresh key and
sends an *offer* (key, size, digest) inside the sealed and signed message. The recipient pulls chunk by chunk, asks
again for those that were lost, and checks the whole. What leaves the shelf is ciphertext, made when it is asked for;
what does not fit into the shelf's share of memory waits on disk, encrypted.

Rules:
1. Each offer has its own random AES-256 key, used for this body alone; chunk i is encrypted under nonce i, with the
   offer's id, i and the number of chunks as associated data: chunks cannot be swapped, cut off or mixed.
2. The key travels only inside a sealed message, so it is as safe as that (quantum-safe hybrid).
3. A chunk is given only to the party it was offered to; to others there is no such offer.
4. The recipient fixes the size it accepts before it pulls, and checks size and digest of the whole body after.
5. Offers end: when the recipient has all, when the call ends, or at expiry. A shelf has a limit in bytes, and so has
   each recipient's share of it, in bytes and offers: who asks and does not fetch keeps nothing from the others.
6. What lies on disk meanwhile is ciphertext; the key stays in memory.
7. The same answer to the same recipient is offered once, for as often as it was asked for.

Source: the per-chunk construction follows STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015), with the chunk count in
the associated data in place of its last-chunk flag.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
import shutil
import struct
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.foundation.canonical import canonical, parse_canonical
from cloister.foundation.digests import DIGEST_PATTERN, digest
from cloister.foundation.errors import BadInput, NotFound, NotTrusted, OutOfSpace, Tampered
from cloister.identity.keys import b64, unb64

CHUNK = 1 << 20
IN_MEMORY = 128 << 20
TAG = 16
_ASK = struct.Struct(">32sI")
_BESIDE = struct.Struct(">H")
_DONE = 0xFFFFFFFF
GIVEN, GONE = b"\x00", b"\x01"


class Offer(BaseModel):
    """What a recipient needs to pull a body. Secret: it travels sealed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    key: Annotated[str, Field(min_length=44, max_length=44, repr=False)]
    size: Annotated[int, Field(ge=0, lt=2**40)]
    digest: Annotated[str, Field(pattern=DIGEST_PATTERN)]

    @property
    def chunks(self) -> int:
        """How many chunks there are; every one but the last has `CHUNK` bytes."""
        return max(1, -(-self.size // CHUNK))

    def encode(self) -> bytes:
        """The offer as canonical JSON."""
        return canonical(self.model_dump(mode="json"))

    @classmethod
    def decode(cls, data: bytes) -> Offer:
        """Reads what `encode` wrote. Raises `BadInput`."""
        try:
            offer = cls.model_validate(parse_canonical(data, max_bytes=1024))
        except ValidationError:
            offer = None
        if offer is None or len(unb64(offer.key)) != 32:
            raise BadInput(
                "An offer of a large body could not be read.",
                "Its fields do not fit.",
                "Use the same release of Cloister at both parties.",
            )
        return offer


def put_beside(offer: Offer, body: bytes) -> bytes:
    """A body with an offer beside it: the offer's length (2 bytes, big endian), the offer, the body."""
    encoded = offer.encode()
    return b"".join((_BESIDE.pack(len(encoded)), encoded, body))


def take_apart(data: bytes) -> tuple[Offer, bytes]:
    """Reads what `put_beside` wrote. Raises `BadInput`."""
    if len(data) < _BESIDE.size:
        data = _BESIDE.pack(0)
    end = _BESIDE.size + _BESIDE.unpack_from(data)[0]
    return Offer.decode(data[_BESIDE.size : end]), data[end:]


@dataclass
class _Shelved:
    recipient: str
    expires: int
    offer: Offer
    body: bytes | None = field(default=None, repr=False)
    path: Path | None = None
    shared: bool = False
    uses: int = 1


class Shelf:
    """Bodies that this node offers: in memory while they fit, the others as ciphertext in files.

    Args:
        folder: where the files go; a temporary folder of its own if absent. Emptied when the shelf is made.
        limit: bytes over all offers.
        share: bytes over all offers to one recipient; a quarter of `limit` if absent.
        offers: how many offers there may be to one recipient.
        in_memory: bytes over all offers that are held in memory.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        limit: int = 8 << 30,
        share: int | None = None,
        offers: int = 64,
        in_memory: int = IN_MEMORY,
    ) -> None:
        self._folder, self._own = folder, folder is None
        self._limit, self._in_memory = limit, in_memory
        self._share, self._offers = limit // 4 if share is None else share, offers
        self._of: dict[str, list[int]] = {}
        self._items: dict[str, _Shelved] = {}
        self._held = self._resident = 0
        self._lock = threading.Lock()
        if folder is not None and folder.exists():
            for left in folder.glob("*.blob"):
                left.unlink(missing_ok=True)

    def offer(
        self,
        recipient: str,
        body: bytes,
        *,
        expires: int,
        now: int,
        known: str | None = None,
        shared: bool = False,
    ) -> Offer:
        """Holds `body` for `recipient` until `expires` (seconds since the epoch).

        Args:
            recipient: who may pull it.
            body: what is offered.
            expires: when the offer ends by itself.
            now: seconds since the epoch.
            known: the body's digest, if it was computed before; the recipient refuses the body if it is another's.
            shared: with other shared offers of the same body to the same recipient: it ends when each was fetched.

        Raises:
            OutOfSpace: the shelf, the recipient's share of it, or the disk is full.
        """
        self.expire(now)
        named = known or digest(body)
        if shared and (there := self._again(recipient, named, expires)) is not None:
            return there
        offer = Offer(
            id=secrets.token_hex(32),
            key=b64(AESGCM.generate_key(256)),
            size=len(body),
            digest=named,
        )
        with self._lock:
            self._take_room(recipient, len(body))
            resident = self._resident + len(body) <= self._in_memory
            if resident:
                self._resident += len(body)
        item = _Shelved(recipient, expires, offer, body if resident else None, shared=shared)
        if not resident:
            try:
                item.path = self._write(offer, body)
            except BaseException:
                with self._lock:
                    self._give_room(recipient, len(body))
                raise
        with self._lock:
            self._items[offer.id] = item
        return offer

    def _again(self, recipient: str, named: str, expires: int) -> Offer | None:
        with self._lock:
            for item in self._items.values():
                if item.shared and item.recipient == recipient and item.offer.digest == named:
                    item.uses += 1
                    item.expires = max(item.expires, expires)
                    return item.offer
        return None

    def _take_room(self, recipient: str, size: int) -> None:
        count, held = self._of.get(recipient, (0, 0))
        if self._held + size > self._limit:
            raise _full("Too many large bodies wait to be fetched.")
        if held + size > self._share or count >= self._offers:
            raise _full("Too many large bodies wait to be fetched by the same party.")
        self._held += size
        self._of[recipient] = [count + 1, held + size]

    def _give_room(self, recipient: str, size: int) -> None:
        self._held -= size
        count, held = self._of.pop(recipient)
        if count > 1:
            self._of[recipient] = [count - 1, held - size]

    def _write(self, offer: Offer, body: bytes) -> Path:
        cipher, view = AESGCM(unb64(offer.key)), memoryview(body)
        path = self._place() / f"{offer.id}.blob"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                for index in range(offer.chunks):
                    stream.write(_encrypt(cipher, offer, view, index))
        except OSError:
            path.unlink(missing_ok=True)
            raise _full("A large body could not be put on disk.") from None
        return path

    def _place(self) -> Path:
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="cloister-blobs-"))
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._folder

    def chunk(self, recipient: str, offer: str, index: int) -> bytes:
        """A chunk's ciphertext. Raises `NotFound` unless it was offered to `recipient`."""
        with self._lock:
            item = self._items.get(offer)
            if item is None or item.recipient != recipient or not 0 <= index < item.offer.chunks:
                raise NotFound(
                    "There is no such offer.",
                    "It has ended, or was made to another party.",
                    "Make the call again.",
                )
            body, path = item.body, item.path
        if body is not None:
            # The same chunk again is the same ciphertext: one key for one body, one nonce for one place in it.
            return _encrypt(AESGCM(unb64(item.offer.key)), item.offer, memoryview(body), index)
        assert path is not None
        try:
            with path.open("rb") as stream:
                stream.seek(index * (CHUNK + TAG))
                return stream.read(CHUNK + TAG)
        except OSError:
            raise NotFound("There is no such offer.", "It has ended.", "Make the call again.") from None

    def answer(self, recipient: str, ask: bytes) -> bytes:
        """The reply to what `Pull` asks: a chunk, or that there is none."""
        try:
            name, index = _ASK.unpack(ask)
            if index == _DONE:
                self._fetched(name.hex(), recipient)
                return GIVEN
            return GIVEN + self.chunk(recipient, name.hex(), index)
        except (struct.error, NotFound):
            return GONE

    def holds(self, offer: str) -> bool:
        """Whether the offer still stands."""
        with self._lock:
            return offer in self._items

    def lend(self, offer: str) -> bool:
        """Whether the offer still stands; if so, it is now to be fetched once more."""
        with self._lock:
            item = self._items.get(offer)
            if item is not None:
                item.uses += 1
            return item is not None

    def _fetched(self, offer: str, recipient: str) -> None:
        with self._lock:
            item = self._items.get(offer)
            if item is not None and item.recipient == recipient and item.uses > 1:
                item.uses -= 1
                return
        self.withdraw(offer, recipient)

    def withdraw(self, offer: str, recipient: str | None = None) -> None:
        """Ends an offer; with `recipient`, only one that was made to it."""
        with self._lock:
            item = self._items.get(offer)
            if item is None or recipient not in (None, item.recipient):
                return
            del self._items[offer]
            self._give_room(item.recipient, item.offer.size)
            if item.body is not None:
                self._resident -= item.offer.size
        if item.path is not None:
            with contextlib.suppress(OSError):
                item.path.unlink()

    def expire(self, now: int) -> None:
        """Ends the offers whose time has passed."""
        with self._lock:
            ended = [name for name, item in self._items.items() if item.expires < now]
        for name in ended:
            self.withdraw(name)

    def close(self) -> None:
        """Ends all offers and removes their files."""
        for name in list(self._items):
            self.withdraw(name)
        if self._own and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


class Pull:
    """One body on its way in: which chunks are here, what to ask for, and the checks at the end.

    Does no I/O: `ask(i)` is what to send, `take(i, reply)` what came back. Chunks may come in any order and again.

    Args:
        offer: from a sealed, signed message.
        limit: the largest body that is accepted, in bytes.

    Raises:
        BadInput: the offer is larger than `limit`.
    """

    def __init__(self, offer: Offer, limit: int) -> None:
        if offer.size > limit:
            raise BadInput(
                "A body is over the size limit.",
                f"It has {offer.size} bytes; the limit is {limit}.",
                "Send less at once.",
                clause="size",
            )
        self.offer = offer
        self._cipher = AESGCM(unb64(offer.key))
        # Chunks are decrypted into their places, and the whole is handed over as it lies there: `BytesIO` gives out
        # the bytes object that it wrote into, so that no large body is copied on its way in.
        self._whole = io.BytesIO(bytes(offer.size))
        self._body = self._whole.getbuffer()
        self._missing = set(range(offer.chunks))
        self._taking: set[int] = set()
        self._lock = threading.Lock()
        self._hash, self._hashed = hashlib.sha256(), 0
        self._hashing = threading.Lock()

    @property
    def missing(self) -> list[int]:
        """The chunks still to ask for, in order."""
        with self._lock:
            return sorted(self._missing)

    def ask(self, index: int) -> bytes:
        """What to send for chunk `index`."""
        return _ASK.pack(bytes.fromhex(self.offer.id), index)

    @property
    def done(self) -> bytes:
        """What to send when all is here."""
        return _ASK.pack(bytes.fromhex(self.offer.id), _DONE)

    def take(self, index: int, reply: bytes) -> None:
        """Puts a chunk in its place.

        Raises:
            NotFound: the sender no longer offers the body.
            Tampered: the chunk is not what was offered.
        """
        if reply[:1] != GIVEN:
            raise NotFound(
                "A large body is no longer offered.",
                "Its sender ended the call or restarted.",
                "Send it again.",
            )
        start = index * CHUNK
        size = min(CHUNK, self.offer.size - start)
        if len(reply) != 1 + size + TAG:
            raise _changed("It has another size than offered.")
        with self._lock:
            if index not in self._missing or index in self._taking:
                return
            self._taking.add(index)
        place = self._body[start : start + size]
        try:
            # What does not open leaves the chunk missing, whatever lies in its place then.
            self._cipher.decrypt_into(_nonce(index), memoryview(reply)[1:], _bound(self.offer, index), place)
        except InvalidTag:
            raise _changed("It does not open with the key in the offer.") from None
        else:
            with self._lock:
                self._missing.discard(index)
        finally:
            place.release()
            with self._lock:
                self._taking.discard(index)
        # Digests while other chunks are still on their way; who comes while another is at it leaves it to that one.
        if self._hashing.acquire(blocking=False):
            try:
                self._digest_next()
            finally:
                self._hashing.release()

    def _digest_next(self) -> None:
        while self._hashed < self.offer.chunks and self._hashed not in self._missing:
            with self._body[self._hashed * CHUNK : (self._hashed + 1) * CHUNK] as part:
                self._hash.update(part)
            self._hashed += 1

    def finish(self) -> bytes:
        """The whole body, after which nothing is taken any more.

        Raises `NotTrusted` unless it is complete and has the offered digest.
        """
        with self._hashing:
            self._digest_next()
        if self._missing or "sha256:" + self._hash.hexdigest() != self.offer.digest:
            raise NotTrusted(
                "A large body is not what its sender described.",
                "Parts are missing or the digest differs.",
                "Have it sent again.",
                clause="digest",
            )
        self._body.release()
        return self._whole.getvalue()


def _encrypt(cipher: AESGCM, offer: Offer, body: memoryview, index: int) -> bytes:
    return cipher.encrypt(_nonce(index), body[index * CHUNK : (index + 1) * CHUNK], _bound(offer, index))


def _nonce(index: int) -> bytes:
    return index.to_bytes(12, "big")


def _bound(offer: Offer, index: int) -> bytes:
    return (
        b"cloister/chunk@1\x00"
        + bytes.fromhex(offer.id)
        + struct.pack(">IIQ", index, offer.chunks, offer.size)
    )


def _changed(why: str) -> Tampered:
    return Tampered(
        "A part of a large body is not what was offered.",
        why,
        "Make the call again; if it happens again, ask the relay's operator.",
        clause="chunk",
    )


def _full(why: str) -> OutOfSpace:
    return OutOfSpace(
        "There is no room for a large body.", why, "Wait until others are fetched, or free some space."
    )
