"""What other nodes may ask of this one: a method of the transport for each, and nothing else.

Rules:
1. The transport has checked who speaks; what they may say is decided by the service behind each method.
2. While another node runs with this identity (`another_instance`), nothing is admitted: two nodes tell two stories.
3. A message for a task that this node has admitted but not yet been told to start is answered "later", not refused.
4. Where a signature does not hold, this node may lack a new card: it looks for cards, and will be asked again.
5. Of each method no more bytes are pulled than it can use; of a task's messages none for a task that this node knows no plan
   of, or from somebody who has no part in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cloister.disclosure.delivery import MAX_MESSAGE as DELIVERY
from cloister.foundation.canonical import MAX_BYTES, canonical
from cloister.foundation.errors import CloisterError, Conflict, NotFound, NotTrusted, Refused
from cloister.identity.envelopes import MAX_ENVELOPE_BYTES
from cloister.journal.ports import Taken
from cloister.node.disclosures.exchange import DISCLOSURE, MAX_DOCUMENT
from cloister.node.disclosures.sending import ARRIVED, OFFER, PACKAGES, PART_OF
from cloister.node.figures.asking import ANSWER, ASK, MAX_TOOL
from cloister.node.figures.asking import MAX_DOCUMENT as MAX_FIGURES
from cloister.node.figures.service import MEASURING
from cloister.node.ledger_service import MAX_QUESTION, WITNESS
from cloister.node.messages import MESSAGE, read, unpack
from cloister.node.peers.documents import MAX_PUSH, PUSH
from cloister.node.revocations import REVOKE
from cloister.node.tasks.admitting import ADMISSION, PROPOSE, START, WITHDRAWN
from cloister.node.tasks.parts import CONTENT
from cloister.transport.interface import Call
from cloister.transport.messenger import Messenger
from cloister.transport.zenoh import ZenohCarrier

if TYPE_CHECKING:
    from cloister.node.node import Node

INSTANCE = "node.instance"
_OTHER_INSTANCE_SECONDS = 3.0
_SMALL = 4096


def another_instance(node: Node, transport: Messenger) -> bool:
    """Whether another node answers under this party's name."""
    carrier = transport.carrier
    if isinstance(carrier, ZenohCarrier):
        return carrier.another(_OTHER_INSTANCE_SECONDS)
    try:
        answer = transport.call(node.party, INSTANCE, b"", deadline=_OTHER_INSTANCE_SECONDS)
    except CloisterError:
        return False
    return answer != node.instance.encode()


def only_instance(node: Node, transport: Messenger) -> None:
    """The second node with an identity refuses to start. Raises `Conflict`."""
    if another_instance(node, transport):
        raise Conflict(_TWIN, _TWIN_WHY, _TWIN_REMEDY, clause="one-node")


def require_alone(node: Node) -> None:
    """Raises `CloisterError` (trouble, not a decision) while another node was seen to run with this identity."""
    if node.twin:
        raise CloisterError(_TWIN, _TWIN_WHY, _TWIN_REMEDY)


_TWIN = "Another server is running with this identity."
_TWIN_WHY = "It answered through the relay under this party's fingerprint."
_TWIN_REMEDY = "Stop the other one; a party has one server."


def serve(node: Node, transport: Messenger) -> None:
    """Answers the other nodes' calls from now on."""
    admitting, asking = node.tasks.admitting, node.tasks.asking
    methods: dict[str, tuple[int, Callable[[Call], bytes]]] = {
        INSTANCE: (_SMALL, lambda _call: node.instance.encode()),
        PUSH: (MAX_PUSH, lambda call: node.sync.take(call.sender, call.body)),
        PROPOSE: (
            MAX_ENVELOPE_BYTES,
            _with_new_cards(node, lambda call: admitting.on_propose(call.sender, call.body)),
        ),
        ADMISSION: (MAX_ENVELOPE_BYTES, lambda call: asking.on_admission(call.sender, call.body)),
        START: (MAX_BYTES, _with_new_cards(node, lambda call: admitting.on_start(call.sender, call.body))),
        WITHDRAWN: (_SMALL, lambda call: admitting.on_withdrawn(call.sender, call.body)),
        CONTENT: (_SMALL, lambda call: asking.on_content(call.sender, call.body)),
        DISCLOSURE: (
            MAX_DOCUMENT,
            _with_new_cards(node, lambda call: node.disclosures.exchange.on_document(call.sender, call.body)),
        ),
        OFFER: (DELIVERY, _with_new_cards(node, lambda call: _on_offer(node, call))),
        PART_OF: (DELIVERY, lambda call: node.disclosures.sending.on_part(call.sender, call.body)),
        ARRIVED: (DELIVERY, lambda call: node.disclosures.sending.on_arrived(call.sender, call.body)),
        ANSWER: (MAX_FIGURES, _with_new_cards(node, lambda call: _on_answer(node, call))),
        REVOKE: (MAX_ENVELOPE_BYTES, lambda call: node.revocations.take(call.sender, call.body)),
        WITNESS: (MAX_QUESTION, lambda call: node.ledger.witness(call.sender, call.body)),
    }
    transport.serve(
        ASK,
        _with_new_cards(node, lambda call: _on_question(node, call)),
        largest=MAX_TOOL + MAX_FIGURES + 4,
        check=lambda call: node.parties.require_trusted([call.sender]),
    )
    for method, (largest, handler) in methods.items():
        transport.serve(method, handler, largest=largest)
    transport.serve(
        MESSAGE, lambda call: _on_message(node, call), check=lambda call: _before_message(node, call)
    )


def _on_offer(node: Node, call: Call) -> bytes:
    answer = node.disclosures.arriving.on_offer(call.sender, call.body)
    node.steward.wake(PACKAGES)
    return answer


def _on_question(node: Node, call: Call) -> bytes:
    answer = node.figures.answering.on_question(call.sender, call.body)
    node.steward.wake(MEASURING)
    return answer


def _on_answer(node: Node, call: Call) -> bytes:
    return node.figures.asking.on_answer(call.sender, call.body)


def _with_new_cards(node: Node, handler: Callable[[Call], bytes]) -> Callable[[Call], bytes]:
    def answer(call: Call) -> bytes:
        try:
            return handler(call)
        except NotTrusted:
            node.chores.look_for_cards()
            raise

    return answer


def _before_message(node: Node, call: Call) -> None:
    """Rule 5, before a large body is pulled. Its phase, its kind and its size are for the journal to judge."""
    header, _ = unpack(call.body)
    try:
        if call.sender in node.tasks.plan(header.task).parties:
            return
    except NotFound:
        pass
    raise Refused(
        "A message was refused.",
        "There is no such task at this server, or not yet.",
        "It is sent again for a while; see whether this server admitted the task.",
        clause="unknown-task",
    )


def _on_message(node: Node, call: Call) -> bytes:
    header, body, digest = read(call)
    try:
        taken = node.runner.deliver(
            header.task, call.sender, header.phase, header.kind, header.sequence, body, digest
        )
    except Refused as error:
        if error.clause != "unknown-task" or not _expected(node, header.task, call.sender):
            raise
        taken = Taken.LATER
    return canonical({"taken": taken.value})


def _expected(node: Node, task: str, sender: str) -> bool:
    try:
        plan = node.tasks.plan(task)
    except NotFound:
        return False
    return sender in plan.parties and not node.tasks.records.over(task)
