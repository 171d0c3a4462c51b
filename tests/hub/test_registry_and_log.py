"""What the hub keeps for its parties: documents, cards, the log and its witnesses. All through the real transport."""

from __future__ import annotations

import contextlib
import time

import pytest
from hub_town import Someone, eventually, joined

from cloister.foundation.clock import SystemClock
from cloister.foundation.digests import digest
from cloister.foundation.errors import (
    BadInput,
    CloisterError,
    Conflict,
    NotFound,
    NotTrusted,
    Refused,
    Unreachable,
)
from cloister.foundation.quotas import Quota
from cloister.hub import logbook, registry
from cloister.hub.traffic import TrafficBook
from cloister.identity import cards
from cloister.identity.directory import Directory
from cloister.identity.envelopes import Envelope, EnvelopeSignature, cosign, sign
from cloister.identity.keys import SecretKeys
from cloister.ledger import checkpoints
from cloister.ledger.checkpoints import Checkpoint, cosigned_at, verify_checkpoint
from cloister.ledger.leaves import Leaf, conceal
from cloister.ledger.notes import Note
from cloister.ledger.tree import MemoryNodes, Tree, leaf_hash, verify_consistency, verify_inclusion
from cloister.storage.database import Database
from cloister.transport.hub_client import HubClient

KIND = "application/vnd.cloister.catalogue+json"


def signed(someone: Someone, **content):
    return sign(KIND, {"type": "cloister/catalogue@1", **content}, someone.party, someone.keys)


def leaf() -> bytes:
    return conceal("agreement", digest(b"a document"), int(time.time()))[0].encode()


def test_a_signed_document_is_kept_listed_and_fetched(client, people):
    anna, bert = client("anna"), client("bert")
    one, two = signed(people["anna"], n=1), signed(people["anna"], n=2)
    assert [anna.publish(one), anna.publish(two), anna.publish(one)] == [0, 1, 0]
    assert [(item.number, item.digest, item.kind) for item in bert.documents()] == [
        (0, one.digest, KIND),
        (1, two.digest, KIND),
    ]
    assert [item.number for item in bert.documents(since=1)] == [1]
    assert bert.documents(kind="application/vnd.cloister.other+json") == []
    assert bert.fetch(two.digest) == two


def test_a_document_that_its_bringer_did_not_sign_is_refused(client, people):
    bert = client("bert")
    for document in (
        signed(people["anna"], n=1),
        sign(KIND, {"n": 1}, people["bert"].party, people["anna"].keys),
    ):
        with pytest.raises(NotTrusted) as error:
            bert.publish(document)
        assert error.value.clause == "publisher"


def test_further_signatures_on_a_kept_document_are_added(client, people):
    anna, bert = client("anna"), client("bert")
    one = signed(people["anna"], n=1)
    anna.publish(one)
    both = cosign(one, people["bert"].party, people["bert"].keys)
    alone = both.model_copy(update={"signatures": both.signatures[1:]})
    assert bert.publish(alone) == 0
    assert {item.keyid for item in anna.fetch(one.digest).signatures} == {
        item.keyid for item in both.signatures
    }


def test_signatures_that_do_not_hold_are_not_kept_so_nobody_can_crowd_out_anothers(client, people):
    """Rule 3 of `registry`."""
    anna, bert = client("anna"), client("bert")
    both = cosign(signed(people["anna"], n=3), people["bert"].party, people["bert"].keys)
    junk = both.signatures[0].model_copy(update={"keyid": f"{'a' * 52}/ed25519"})
    bert.publish(both.model_copy(update={"signatures": (*both.signatures, junk)}))
    kept = anna.fetch(both.digest)
    assert {item.keyid.partition("/")[0] for item in kept.signatures} == {
        people["anna"].party,
        people["bert"].party,
    }


class Anybody:
    """A hub's members: some parties, all enrolled."""

    def __init__(self, *people: Someone) -> None:
        self.directory = Directory()
        for someone in people:
            self.directory.accept_chain(someone.chain, int(time.time()))

    def live(self):
        return self.directory.live(int(time.time()))


@pytest.fixture
def database(tmp_path):
    with contextlib.closing(Database.open(tmp_path)) as made:
        yield made


def entries(kept: registry.Registry, document: Envelope) -> set[str]:
    return {item.keyid.partition("/")[0] for item in Envelope.decode(kept.fetch(document.digest)).signatures}


def test_junk_in_a_signers_own_name_crowds_out_no_others_signature(database, people):
    """Rule 3 of `registry`: an entry counts by holding, not by the party that it names."""
    anna, bert = people["anna"], people["bert"]
    kept = registry.Registry(database, Anybody(anna, bert), SystemClock())
    one = signed(anna, n=16)
    junk = tuple(EnvelopeSignature(keyid=f"{anna.party}/{n:032x}", sig="AAAA") for n in range(63))
    kept.publish(anna.party, one.model_copy(update={"signatures": (*junk, *one.signatures)}).encode())
    assert Envelope.decode(kept.fetch(one.digest)).signatures == one.signatures
    kept.publish(bert.party, cosign(one, bert.party, bert.keys).encode())
    assert entries(kept, one) == {anna.party, bert.party}


def test_what_others_sign_onto_a_document_counts_against_their_limits_also_after_a_restart(
    database, people, monkeypatch
):
    """Rule 3 of `registry`."""
    anna, bert = people["anna"], people["bert"]
    members = Anybody(anna, bert)
    one, two = signed(anna, n=1), signed(anna, n=2)
    kept = registry.Registry(database, members, SystemClock())
    for document in (one, two):
        kept.publish(anna.party, document.encode())
    grown = len(cosign(one, bert.party, bert.keys).encode()) - len(one.encode())
    monkeypatch.setattr(registry, "MAX_BYTES_PER_PARTY", grown + grown // 2)
    kept.publish(bert.party, cosign(one, bert.party, bert.keys).encode())
    for again in (kept, registry.Registry(database, members, SystemClock())):
        with pytest.raises(Refused) as caught:
            again.publish(bert.party, cosign(two, bert.party, bert.keys).encode())
        assert caught.value.clause == "quota"
    assert entries(kept, two) == {anna.party}
    # What is held already costs nothing when it comes again.
    kept.publish(bert.party, cosign(one, bert.party, bert.keys).encode())


def test_a_party_that_publishes_too_fast_is_refused_and_another_is_served(client, people, monkeypatch):
    """Rule 3 of `registry`, rule 5 of `logbook`."""
    few = Quota(number=1, size=1, burst=3, per_hour=1)
    monkeypatch.setattr(registry, "PACE", few)
    monkeypatch.setattr(logbook, "PACE", few)
    anna, bert = client("anna"), client("bert")
    for number in range(3):
        anna.publish(signed(people["anna"], n=number))
        anna.append(leaf())
    with pytest.raises(Refused) as caught:
        anna.publish(signed(people["anna"], n=3))
    assert caught.value.clause == "quota"
    assert caught.value.remedy
    anna.publish(signed(people["anna"], n=2))  # the same one again costs nothing
    with pytest.raises(Refused) as caught:
        anna.append(leaf())
    assert caught.value.clause == "quota"
    assert bert.publish(signed(people["bert"], n=77)) == 3
    assert bert.append(leaf()) == 3


def test_other_kinds_and_oversized_documents_are_refused(client, people, monkeypatch):
    anna = client("anna")
    with pytest.raises(BadInput):
        anna.publish(sign("text/html", {"n": 1}, people["anna"].party, people["anna"].keys))
    with pytest.raises(BadInput) as error:
        anna.publish(signed(people["anna"], text="x" * registry.MAX_DOCUMENT))
    assert error.value.detail["clause"] == "size"
    monkeypatch.setattr(registry, "MAX_PER_PARTY", 1)
    anna.publish(signed(people["anna"], n=1))
    with pytest.raises(Refused) as refused:
        anna.publish(signed(people["anna"], n=2))
    assert refused.value.clause == "quota"


def test_what_is_not_kept_is_not_found(client):
    with pytest.raises(NotFound):
        client("anna").fetch(digest(b"nothing"))


def test_cards_are_handed_out_and_chained(client, people, hub):
    someone = Someone("rotates")
    people = {**people, "rotates": someone}
    transport = joined(someone, hub.invite(), list(people.values()))
    try:
        mine = HubClient(transport, hub.party)
        eventually(lambda: hub.party in transport.here())
        assert mine.cards(someone.party) == [[someone.card]]
        fresh = SecretKeys.generate()
        following = cards.succeed(cards.read(someone.card), fresh, int(time.time()), current=someone.keys)
        transport.expect(fresh)
        with contextlib.suppress(Unreachable):
            mine.publish(following)  # where its answer is lost, the hub no longer trusts the question
        transport.rotate(fresh)
        mine.publish(following)
        assert mine.cards(someone.party) == [[someone.card, following]]
        with pytest.raises(NotTrusted) as error:
            mine.publish(someone.card)
        assert error.value.clause == "card-rolled-back"
    finally:
        transport.close()


def test_a_card_is_published_by_its_own_party(client, people):
    bert = client("bert")
    with pytest.raises(NotTrusted) as error:
        bert.publish(people["carl"].card)
    assert error.value.clause == "publisher"


def test_a_revocation_cuts_the_party_off(hub, people, opened):
    someone = Someone("ends")
    transport = opened(joined(someone, hub.invite(), [], patience=1.0))
    mine = HubClient(transport, hub.party, deadline=6)
    eventually(lambda: hub.party in transport.here())
    # The card may arrive while its answer no longer can.
    try:
        mine.publish(cards.revoke(cards.read(someone.card), int(time.time()), current=someone.keys))
    except CloisterError:
        pass
    eventually(lambda: someone.party not in hub.members.permitted())
    with pytest.raises(Unreachable):
        mine.head()


def test_the_log_gives_proofs_that_hold(client, people, hub):
    anna = client("anna")
    leaves = [leaf() for _ in range(7)]
    assert [anna.append(item) for item in leaves] == list(range(7))
    assert anna.append(leaves[3]) == 3
    keys = [cards.read(hub._cards[0]).keys]
    first = verify_checkpoint(Note.parse(anna.head()), checkpoints.ledger_origin(hub.party), keys)
    assert first.size == 7
    assert anna.entries(2, 5) == leaves[2:5]
    for index, item in enumerate(leaves):
        verify_inclusion(leaf_hash(item), index, 7, anna.inclusion(index, 7), first.root)
    anna.append(leaf())
    second = verify_checkpoint(Note.parse(anna.head()), checkpoints.ledger_origin(hub.party), keys)
    verify_consistency(7, 8, first.root, second.root, anna.consistency(7, 8))
    with pytest.raises(BadInput):
        anna.inclusion(9, 8)


@pytest.mark.parametrize("wrong", [b"", b"{}", b"x" * 600, b'{"kind":"agreement"}'])
def test_what_is_no_leaf_is_refused(client, wrong):
    with pytest.raises(BadInput):
        client("anna").append(wrong)


def test_a_leaf_dated_otherwise_than_now_is_refused(client):
    anna = client("anna")
    for shift in (-3600, 3600):
        old, _ = conceal("agreement", digest(b"x"), int(time.time()) + shift)
        with pytest.raises(BadInput) as error:
            anna.append(old.encode())
        assert error.value.detail["clause"] == "time"


def test_witnesses_cosignatures_are_collected(client, people):
    anna, bert = client("anna"), client("bert")
    anna.append(leaf())
    note = Note.parse(anna.head())
    for name, hub_client in (("anna", anna), ("bert", bert)):
        lines = checkpoints.cosignature(
            note, checkpoints.witness_name(people[name].party), people[name].keys, int(time.time())
        )
        hub_client.cosign(note.with_lines(lines).encode())
    head = Note.parse(anna.head())
    for name in ("anna", "bert"):
        witness = checkpoints.witness_name(people[name].party)
        assert cosigned_at(head, witness, [people[name].keys.public]) is not None


def test_a_cosignature_by_others_or_on_another_head_is_refused(client, people):
    anna, bert = client("anna"), client("bert")
    note = Note.parse(anna.head())
    lines = checkpoints.cosignature(
        note, checkpoints.witness_name(people["anna"].party), people["anna"].keys, int(time.time())
    )
    with pytest.raises(NotTrusted):
        bert.cosign(note.with_lines(lines).encode())
    other = Note(note.text.replace("\n0\n", "\n5\n"))
    lines = checkpoints.cosignature(
        other, checkpoints.witness_name(people["anna"].party), people["anna"].keys, int(time.time())
    )
    with pytest.raises((Conflict, BadInput)):
        anna.cosign(other.with_lines(lines).encode())


def test_the_hub_witnesses_a_partys_ledger_and_refuses_another_history(client, people, hub):
    anna, bert = client("anna"), client("bert")
    someone = people["anna"]
    origin = checkpoints.ledger_origin(someone.party)
    tree = Tree(MemoryNodes())

    def head(of: Tree) -> bytes:
        point = Checkpoint(origin, len(of), of.root())
        return checkpoints.sign_checkpoint(point, someone.keys, int(time.time())).encode()

    for _ in range(3):
        tree.append(leaf())
    note = Note.parse(anna.submit_checkpoint(head(tree), 0, []))
    hub_keys = [cards.read(hub._cards[0]).keys]
    assert cosigned_at(note, checkpoints.witness_name(hub.party), hub_keys) is not None
    tree.append(leaf())
    anna.submit_checkpoint(head(tree), 3, tree.consistency_proof(3, 4))
    assert Checkpoint.parse(Note.parse(bert.heads()[someone.party]).text).size == 4
    other = Tree(MemoryNodes())
    for _ in range(4):
        other.append(leaf())
    with pytest.raises(NotTrusted) as error:
        anna.submit_checkpoint(head(other), 4, [])
    assert error.value.clause == "witness-split-view"
    # Both heads that the party signed are kept: the accusation rests on them.
    (kept,) = hub.evidence().values()
    for shown in ("first", "second"):
        origin = checkpoints.ledger_origin(people["anna"].party)
        verify_checkpoint(Note.parse(kept[shown].encode()), origin, [people["anna"].keys.public])
    assert kept["first"] != kept["second"]
    with pytest.raises(NotTrusted):
        bert.submit_checkpoint(head(tree), 4, [])
    assert [Leaf.decode(item).kind for item in anna.entries(0, 9)] == ["checkpoint-received"] * 2


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("registry.list", b"{}"),
        ("registry.list", b'{"kind":null,"since":-1}'),
        ("registry.fetch", b'{"digest":"x"}'),
        ("registry.publish", b"[]"),
        ("log.entries", b'{"end":1,"extra":1,"start":0}'),
        ("log.append", b'{"leaf":"%%"}'),
        ("log.witness", b'{"note":"","old_size":0,"proof":[]}'),
        ("log.cosign", b'{"note":"AAAA"}'),
        ("traffic.report", b'{"peers":{"x":[1]}}'),
    ],
)
def test_malformed_requests_are_refused_by_every_method(hub, people, opened, method, body):
    transport = opened(joined(people["anna"], hub.invite(), []))
    with pytest.raises(BadInput):
        transport.call(hub.party, method, body, deadline=30)


def test_what_the_relay_could_see_is_counted_by_pairs(client, people, hub):
    anna, bert = people["anna"].party, people["bert"].party
    client("anna").report_traffic({bert: (3, 300, 2, 200)})
    client("bert").report_traffic({anna: (2, 200, 3, 299)})
    assert [(item.sender, item.recipient, item.messages, item.bytes) for item in hub.traffic()] == sorted(
        [(anna, bert, 3, 300), (bert, anna, 2, 200)]
    )


def test_counters_go_on_when_a_node_restarts():
    book = TrafficBook()
    one, two = "a" * 52, "b" * 52
    book.report(one, {two: [5, 500, 0, 0]})
    book.report(one, {two: [1, 100, 0, 0]})
    book.report(one, {two: [2, 200, 0, 0]})
    assert [(item.messages, item.bytes) for item in book.all()] == [(7, 700)]
