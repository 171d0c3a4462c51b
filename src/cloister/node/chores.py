"""What this node does by itself while it runs; each chore may be interrupted at any time and done anew.

Cards are fetched from the hub, documents offered to whoever is here, unanswered plans asked again, witnesses shown the
log's head, tasks stopped whose agreement no longer holds, duties of agreements carried out.

Rules:
1. An agreement that is suspended or stopped, by whomever, stops its tasks here in the very call that makes or takes in the
   act; the chore finds those whose agreement ended otherwise (it expired, a key was revoked).
2. That chore waits for no other party: what asks others has a thread of its own.
3. Who comes and goes is noticed, and cards are fetched from the relay, whatever other parties do with what they are asked:
   it may be a card that the answer waits for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cloister.agreements.lifecycle import State
from cloister.agreements.terms import Terms
from cloister.foundation.errors import BadInput, CloisterError, NotFound, NotTrusted, Refused, Unreachable
from cloister.identity.cards import CARD_TYPE
from cloister.identity.cards import read as read_card
from cloister.identity.envelopes import Envelope
from cloister.node.disclosures.sending import PACKAGES
from cloister.node.figures.service import MEASURING, TELLING
from cloister.node.peers.reception import another_instance
from cloister.node.peers.unlearned import Unlearned
from cloister.transport.hub_client import HubClient

if TYPE_CHECKING:
    from cloister.node.node import Node
    from cloister.node.peers.hub_link import Link

_LOG = logging.getLogger("cloister.node.chores")

AGREEMENTS, DOCUMENTS, PLANS, WITNESSES, RELAY = "agreements", "documents", "plans", "witnesses", "the relay"
RELAY_WITNESS = "the relay as a witness"
DISCLOSURES = "documents of disclosures"
_CARDS_SECONDS, _CARDS_SOON = 12.0, 3.0
_COMING_SECONDS = 20.0
TWIN_SECONDS = 60.0
_WITNESS_SECONDS, _WITNESS_PAUSE = 60.0, 0.5


class Chores:
    """The chores of one node, given to its steward."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._cards_seen = 0
        self._cards_due = 0.0
        self._somebody_came = float("-inf")
        self._published = ""
        self._relay_came = threading.Event()
        self.unlearned = Unlearned()

    def begin(self) -> None:
        """Adds all chores."""
        add = self._node.steward.add
        if self._node.link is not None:
            add("presence", 0.2, self._presence, lane="presence")
            add(RELAY, 5.0, self._meet_hub, rest=2.0, lane="relay")
            add(DOCUMENTS, 5.0, self._offer_documents, rest=0.1, lane="documents")
            add(PLANS, 2.0, self._node.tasks.asking.drive_all, rest=0.5)
            add(WITNESSES, 5.0, self._show_log, rest=1.5)
            add(RELAY_WITNESS, 5.0, self._show_log_to_hub, rest=2.0)
            add(DISCLOSURES, 30.0, self._node.disclosures.tell, rest=1.0)
            add(PACKAGES, 30.0, self._node.disclosures.arriving.fetch, rest=1.0, lane="packages")
            add(TELLING, 30.0, self._node.figures.tell, rest=1.0, lane="figures told")
            add("revocations", 30.0, self._node.revocations.tell)
            add("the relay's log", 15.0, self._watch_hub)
            add("twins", TWIN_SECONDS, self._look_for_twin)
            add("traffic", 3.0, self._report_traffic)
            add("the certificate", 3600.0, self._node.link.renew)
        add(AGREEMENTS, 2.0, self.stop_what_ended, rest=0.1, lane="agreements")
        add("disclosed records", 30.0, self._node.disclosures.tidy, lane="disclosed records")
        add(MEASURING, 30.0, self._node.figures.answering.work, rest=1.0, lane="figures")
        add("duties", 600.0, self._node.duties.carry_out, lane="duties")
        add("quotas", 3600.0, self._node.quotas.tidy)

    # Others come and go --------------------------------------------------------------------------------------------

    def _presence(self) -> None:
        node, link = self._node, self._link()
        came = [event.party for event in link.transport.presence() if event.here]
        for party in came:
            if party == link.hub:
                self._relay_came.set()
                node.steward.wake(RELAY, RELAY_WITNESS, WITNESSES)
            elif party != node.party:
                node.sync.forget(party)
                node.tasks.asking.hurry(party)
                node.runner.poke(party)
                # It may be new, or have new keys; it is seen a moment before its card is published.
                self._cards_due, self._somebody_came = 0.0, time.monotonic()
                node.steward.wake(RELAY, DOCUMENTS, PLANS, WITNESSES, DISCLOSURES, PACKAGES, TELLING)

    def look_for_cards(self) -> None:
        """Something was signed with keys that are not known here: there may be a new card."""
        self._cards_due = 0.0
        self._node.steward.wake(RELAY)

    def _offer_documents(self) -> None:
        node, link = self._node, self._link()
        for party in sorted(link.transport.here() - {node.party, link.hub or ""}):
            if node.parties.known(party):
                node.sync.offer(party)

    # The hub -------------------------------------------------------------------------------------------------------

    def meet_hub(self) -> None:
        """Publishes this party's cards and learns the others'; at the start, and after a rotation."""
        self._published, self._cards_due = "", 0.0
        try:
            if self._meet_hub():
                self._show_log_to_hub()
        except CloisterError as error:
            # Nothing that the hub says keeps a node from starting.
            _LOG.warning("the relay: %s %s", error.what, error.why)

    def _meet_hub(self) -> bool:
        """Whether the relay answered."""
        node, link = self._node, self._link()
        if link.hub is None:
            return False
        if self._relay_came.is_set():
            # It may have lost what it was shown, and numbers what it holds anew.
            self._relay_came.clear()
            self._published, self._cards_seen, self._cards_due = "", 0, 0.0
            self.unlearned.anew()
        client = HubClient(link.transport, link.hub, deadline=10.0)
        try:
            chain = node.parties.chain(node.party)
            if self._published != chain[-1].digest:
                self._publish(client, chain)
                self._published = chain[-1].digest
            if (now := time.monotonic()) >= self._cards_due:
                coming = now - self._somebody_came < _COMING_SECONDS
                self._cards_due = now + (_CARDS_SOON if coming else _CARDS_SECONDS)
                self._fetch_cards(client)
        except Unreachable as error:
            self._cards_due = 0.0
            if error.detail.get("refusal") == "not-trusted":
                link.renew()  # the hub could not be shown the present card when this node started
            return False
        return True

    @staticmethod
    def _publish(client: HubClient, chain: Sequence[Envelope]) -> None:
        for envelope in chain:
            try:
                client.publish(envelope)
            except NotTrusted as error:
                if error.clause != "card-rolled-back":  # the hub holds a later one of ours already
                    raise

    def _watch_hub(self) -> None:
        """Cosigns the hub's head if it extends what was seen; a contradiction is kept and shown by `doctor`."""
        node, link = self._node, self._link()
        if link.hub is None or node.hub_witness is None:
            return
        try:
            node.hub_witness.look(HubClient(link.transport, link.hub, deadline=10.0))
        except Unreachable:
            return

    def _fetch_cards(self, client: HubClient) -> None:
        """Cards that came to the hub since the last look, and those that could not be learned before (see `unlearned`)."""
        parties, learned, now = self._node.parties, False, time.monotonic()
        for card in self.unlearned.due(now):
            learned = self._learn(client, card) or learned
        for listed in client.documents(self._cards_seen, CARD_TYPE):
            if not self.unlearned.room():
                break
            if not parties.holds(listed.digest):
                learned = self._learn(client, listed.digest) or learned
            self._cards_seen = max(self._cards_seen, listed.number + 1)
        if learned:
            self._node.steward.wake(DOCUMENTS)

    def _learn(self, client: HubClient, digest: str) -> bool:
        """A whole chain where the card alone does not fit. Raises `Unreachable`; all else is noted, and tried again."""
        parties = self._node.parties
        try:
            card = client.fetch(digest)
            try:
                parties.accept(card)
            except CloisterError:
                for chain in client.cards(read_card(card).party):
                    parties.accept_chain(chain)
                if not parties.holds(digest):
                    raise
        except Unreachable:
            raise
        except CloisterError as error:
            _LOG.info("the relay showed a card that was refused: %s", error.what)
            self.unlearned.failed(digest, f"{error.what} {error.why}".strip(), time.monotonic())
            return False
        self.unlearned.learned(digest)
        return True

    def _look_for_twin(self) -> None:
        """Another node with this identity that was started later, or came back: neither admits anything until one is gone."""
        node, link = self._node, self._link()
        # Twice: a connection that is being made anew may answer once more.
        found = another_instance(node, link.transport) and another_instance(node, link.transport)
        if found and not node.twin:
            _LOG.warning("Another server is running with this party's identity. Stop one of the two.")
        node.twin = found

    def _report_traffic(self) -> None:
        link = self._link()
        if link.hub is None:
            return
        counts = {
            party: (item.sent, item.sent_bytes, item.received, item.received_bytes)
            for party, item in link.transport.traffic().items()
        }
        try:
            HubClient(link.transport, link.hub, deadline=5.0).report_traffic(counts)
        except Unreachable:
            return

    # The log -------------------------------------------------------------------------------------------------------

    def _show_log_to_hub(self) -> None:
        link = self._link()
        if link.hub is not None:
            self._show_log_to(link.hub, HubClient(link.transport, link.hub, deadline=10.0))

    def _show_log(self) -> None:
        node, link = self._node, self._link()
        here = link.transport.here()
        for party in sorted(self.witnesses() & here - {node.party}):
            self._show_log_to(party, HubClient(link.transport, party, deadline=10.0))

    def meet_witnesses(self) -> None:
        """Shows the log to the witnesses here that have not seen it since the start; a contradiction locks this node."""
        node, link = self._node, self._node.link
        here = link.transport.here() if link is not None else frozenset()
        for party in sorted(self.witnesses() & here - {node.party}):
            if link is not None and not node.ledger.met(party):
                try:
                    self._show_log_to(party, HubClient(link.transport, party, deadline=5.0))
                except CloisterError as error:
                    _LOG.info("a witness: %s %s", error.what, error.why)

    def be_witnessed(self, terms: Terms, size: int) -> None:
        """Shows the log to the witnesses of an agreement that are here, until one has seen so many leaves of it.

        One that was met since the start: it would have said if it knew of a longer log. A contradiction locks this node.

        Raises:
            Unreachable: none was here for a minute.
        """
        node, ledger = self._node, self._node.ledger
        others = {item.party for item in terms.witnesses.parties} - {node.party} if terms.witnesses else set()
        end = time.monotonic() + _WITNESS_SECONDS

        def seen() -> bool:
            return any(ledger.met(party) and ledger.shown(party) >= size for party in others)

        while others and ledger.locked is None:
            here = node.link.transport.here() if node.link is not None else frozenset()
            # All that have not been met are asked: each may be the one that knows more. Of the others one is enough.
            for party in sorted(others & here, key=lambda party: (ledger.met(party), party)):
                if ledger.met(party) and seen():
                    break
                try:
                    self._show_log_to(party, HubClient(self._link().transport, party, deadline=5.0))
                except CloisterError as error:
                    _LOG.info("a witness: %s %s", error.what, error.why)
            if seen():
                return
            if time.monotonic() > end:
                raise Unreachable(
                    "No witness has seen this server's log.",
                    "Its server might have been restored from an old backup, and would then spend a privacy budget twice.",
                    "See that this server and one of the agreement's witnesses are connected, then try again.",
                )
            time.sleep(_WITNESS_PAUSE)

    def _show_log_to(self, party: str, client: HubClient) -> None:
        if self._node.ledger.locked is not None:
            return
        try:
            self._node.ledger.ask_witness(party, client.submit_checkpoint)
        except Unreachable:
            return

    def witnesses(self) -> frozenset[str]:
        """Who cosigns this node's log, by the agreements that it is in."""
        found: set[str] = set()
        for name in self._node.agreements.digests():
            terms = self._node.agreements.get(name).terms
            if terms.witnesses is not None:
                found.update(witness.party for witness in terms.witnesses.parties)
        return frozenset(found)

    # Agreements ----------------------------------------------------------------------------------------------------

    def stop_what_ended(self) -> None:
        """Stops the running tasks whose agreement is not in force. One that cannot be asked about holds up no other."""
        for row in self._node.runner.tasks():
            if row.status == "running":
                try:
                    self._stop_if_ended(row.id)
                except CloisterError as error:
                    _LOG.warning("a task could not be looked at: %s %s", error.what, error.why)

    def _stop_if_ended(self, task: str) -> None:
        node = self._node
        try:
            state = str(node.agreements.state(node.tasks.plan(task).request.agreement))
        except NotFound:
            state = "unknown here"
        except (BadInput, Refused):
            state = "unreadable here"
        if state != State.FINALIZED:
            node.runner.stop(
                task,
                Refused(
                    "The task was stopped.",
                    f"Its agreement is {state}.",
                    "Have the agreement resumed, or agree anew.",
                    clause="state",
                ),
            )

    def _link(self) -> Link:
        link = self._node.link
        if link is None:
            raise Unreachable(
                "This server is connected to no relay.", "", "See: cloister node connect INVITATION"
            )
        return link
