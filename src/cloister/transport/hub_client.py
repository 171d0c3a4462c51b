"""What a node asks of its hub: to be enrolled, to keep and hand out signed documents, and to keep the common log.

After enrolment all of it travels as calls to the hub's own fingerprint, signed and sealed like any other. The hub's
answers are material: cards, documents and checkpoints are checked by whoever uses them.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloister.foundation.canonical import JSON, canonical, parse
from cloister.foundation.errors import BadInput, NotTrusted, Unreachable, from_problem
from cloister.identity import enrolment
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import SecretKeys, b64, unb64
from cloister.transport.interface import Transport
from cloister.transport.invitation import Invitation
from cloister.transport.zenoh_settings import Credentials

MAX_ENTRIES = 1000
_MAX_REPLY = 8 << 20


@dataclass(frozen=True)
class Enrolled:
    """What enrolment gave: credentials for the relay, and the hub's card chain (to be checked and kept)."""

    credentials: Credentials
    hub_cards: tuple[Envelope, ...]


@dataclass(frozen=True)
class Listed:
    """A document that the hub keeps: its place in the hub's order, its digest and its payload type."""

    number: int
    digest: str
    kind: str


def enrol(
    invitation: Invitation,
    party: str,
    keys: SecretKeys,
    cards: Sequence[Envelope],
    now: int,
    *,
    timeout: float = 30.0,
) -> Enrolled:
    """Enrols a party at a hub, or renews its certificate (then the code is not looked at).

    Args:
        invitation: from the hub's operator.
        party: the fingerprint.
        keys: its current keys.
        cards: its card chain from genesis on.
        now: seconds since the epoch.
        timeout: seconds to wait.

    Raises:
        Unreachable: the hub does not answer.
        NotTrusted: its server certificate or the certificate that it issued does not hold.
        CloisterError: what the hub refused.
    """
    key, csr = enrolment.make_csr(party)
    authority = invitation.authority.encode("ascii", "replace")
    signed = enrolment.request(party, keys, csr, authority, now)
    body = canonical(
        {
            "code": invitation.code,
            "csr": csr.decode("ascii"),
            "request": signed.model_dump(mode="json"),
            "cards": [card.model_dump(mode="json") for card in cards],
        }
    )
    answer = _post(f"https://{invitation.enrol}/enrol", body, authority, timeout)
    try:
        certificate = str(answer["certificate"]).encode("ascii")
        hub_cards = tuple(Envelope.from_json(item) for item in answer["hub_cards"])
    except (KeyError, TypeError, UnicodeEncodeError):
        raise _unreadable("It lacks fields.") from None
    enrolment.check_certificate(certificate, authority, party, now)
    return Enrolled(Credentials(authority, certificate, key), hub_cards)


def _post(url: str, body: bytes, authority: bytes, timeout: float) -> dict[str, Any]:
    import httpx

    try:
        context = ssl.create_default_context(cadata=authority.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise BadInput(
            "The invitation's certificate could not be read.", "", "Ask for the invitation again."
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Only the authority in the invitation counts here, and no proxy of the environment may stand between.
    with httpx.Client(verify=context, timeout=timeout, trust_env=False, follow_redirects=False) as client:
        try:
            with client.stream(
                "POST", url, content=body, headers={"content-type": "application/json"}
            ) as response:
                data = bytearray()
                for part in response.iter_bytes():
                    data += part
                    if len(data) > _MAX_REPLY:
                        raise _unreadable(f"It is over the limit of {_MAX_REPLY} bytes.")
                status = response.status_code
        except httpx.HTTPError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise NotTrusted(
                    "The relay's certificate does not hold.",
                    "It is not issued by the authority in the invitation, or is for another address.",
                    "Ask the relay's operator for a new invitation; someone may stand between you and the relay.",
                    clause="hub-certificate",
                ) from None
            raise Unreachable(
                "The relay's enrolment service does not answer.",
                f"There was no answer at {url.removeprefix('https://').removesuffix('/enrol')}.",
                "See whether the relay is running and whether a firewall is in between.",
            ) from None
    value = parse(bytes(data), max_bytes=_MAX_REPLY)
    if not isinstance(value, dict):
        raise _unreadable("Its form is not the one expected.")
    if status != 200:
        raise from_problem(value)
    return value


class HubClient:
    """The hub's services for an enrolled node.

    Args:
        transport: this node's.
        hub: the hub's fingerprint.
        deadline: seconds for each call.
    """

    def __init__(self, transport: Transport, hub: str, deadline: float = 30.0) -> None:
        self._transport, self._hub, self._deadline = transport, hub, deadline

    # -- documents ------------------------------------------------------------------------------------------------

    def publish(self, envelope: Envelope) -> int:
        """Has the hub keep a signed document (a card too); returns its number. Again is harmless."""
        return int(self._ask("registry.publish", envelope.encode())["number"])

    def documents(self, since: int = 0, kind: str | None = None) -> list[Listed]:
        """The documents from number `since` on (at most 1000), optionally of one payload type."""
        found = self._json("registry.list", {"since": since, "kind": kind})["documents"]
        return [Listed(int(item["number"]), str(item["digest"]), str(item["kind"])) for item in found]

    def fetch(self, digest: str) -> Envelope:
        """A document by digest. Raises `NotFound`; `NotTrusted` if the hub gave another."""
        data = self._transport.call(
            self._hub,
            "registry.fetch",
            canonical({"digest": digest}),
            deadline=self._deadline,
            answer=_MAX_REPLY,
        )
        envelope = Envelope.decode(data)
        if envelope.digest != digest:
            raise NotTrusted(
                "The relay gave another document than the one asked for.", "", "Ask the document's signer."
            )
        return envelope

    def cards(self, party: str | None = None) -> list[list[Envelope]]:
        """The card chains of all enrolled parties (or of one), each from genesis on. They are known, not trusted."""
        chains = self._json("registry.cards", {"party": party})["chains"]
        return [[Envelope.from_json(card) for card in chain] for chain in chains]

    # -- the common log -------------------------------------------------------------------------------------------

    def append(self, leaf: bytes) -> int:
        """Puts a leaf (`ledger.leaves.Leaf.encode`) into the hub's log; returns its index. Again is harmless."""
        return int(self._json("log.append", {"leaf": b64(leaf)})["index"])

    def head(self) -> bytes:
        """The hub's signed checkpoint with the witnesses' cosignatures so far, as a note."""
        return unb64(self._json("log.head", {})["note"])

    def entries(self, start: int, end: int) -> list[bytes]:
        """The leaves from `start` to before `end` (at most 1000)."""
        return self._list("log.entries", {"start": start, "end": end}, "leaves")

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The inclusion proof of entry `index` in the tree of `size`."""
        return self._list("log.inclusion", {"index": index, "size": size}, "proof")

    def consistency(self, old: int, new: int) -> list[bytes]:
        """The consistency proof between two sizes."""
        return self._list("log.consistency", {"old": old, "new": new}, "proof")

    def cosign(self, note: bytes) -> None:
        """Gives the hub this party's cosignature on its checkpoint: the note with this witness's lines."""
        self._json("log.cosign", {"note": b64(note)})

    def submit_checkpoint(self, note: bytes, old_size: int, proof: Iterable[bytes]) -> bytes:
        """Shows the hub this node's own signed checkpoint; returns the note with the hub's cosignature as a witness.

        Raises:
            NotTrusted: the hub saw another history (clauses `witness-…`).
        """
        asked: dict[str, JSON] = {
            "note": b64(note),
            "old_size": old_size,
            "proof": [b64(item) for item in proof],
        }
        return unb64(self._json("log.witness", asked)["note"])

    def heads(self) -> dict[str, bytes]:
        """The largest checkpoint of each party's ledger that the hub saw, to compare with one's own view."""
        return {str(party): unb64(note) for party, note in self._json("log.heads", {})["heads"].items()}

    def report_traffic(self, peers: Mapping[str, tuple[int, int, int, int]]) -> None:
        """Tells the hub what it could count itself: per party, messages and bytes sent and received."""
        counted: dict[str, JSON] = {party: list(counts) for party, counts in peers.items()}
        self._json("traffic.report", {"peers": counted})

    def _ask(self, method: str, body: bytes) -> dict[str, Any]:
        answer = parse(
            self._transport.call(self._hub, method, body, deadline=self._deadline, answer=_MAX_REPLY),
            max_bytes=_MAX_REPLY,
        )
        if not isinstance(answer, dict):
            raise _unreadable("Its form is not the one expected.")
        return _Answer(answer)

    def _json(self, method: str, asked: Mapping[str, JSON]) -> dict[str, Any]:
        return self._ask(method, canonical(asked))

    def _list(self, method: str, asked: Mapping[str, JSON], name: str) -> list[bytes]:
        values = self._json(method, asked)[name]
        if not isinstance(values, list) or len(values) > MAX_ENTRIES:
            raise _unreadable("Its form is not the one expected.")
        return [unb64(str(item)) for item in values]


class _Answer(dict[str, Any]):
    def __missing__(self, key: str) -> Any:
        raise _unreadable(f"It lacks {key}.")


def _unreadable(why: str) -> BadInput:
    return BadInput(
        "The relay's answer could not be read.",
        why,
        "Use the same release of Cloister at the relay and here.",
    )
