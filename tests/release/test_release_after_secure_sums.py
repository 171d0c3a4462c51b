"""A training behind secure sums, and the release of what its owners then hold: the whole task, with what crossed in it."""

from __future__ import annotations

import numpy as np
from release_world import KEYS, World, f

from cloister.aggregation import PartySigning
from cloister.foundation.digests import digest
from cloister.protections.federated import secure_coordinator, secure_owner
from cloister.release import messages
from protections.private_world import PrivateEngine, settings


class SecureWorld(World):
    """As `World`, with the programs of secure sums before the release."""

    def __init__(self, of, owners=3, **changes):
        self.of = of
        parties = [f.LAB, f.USER, *f.OWNERS[:owners]]
        agreement = {"recipients": parties, "dropouts": of.dropouts} | changes.pop("agreement", {})
        super().__init__(
            holder="owner", agreement=agreement, owners=owners, worker=PrivateEngine(), **changes
        )
        for node in self.loop.nodes.values():
            node.signing = PartySigning(KEYS, KEYS.secret[node.party])

    def protection(self, seat, party):
        of = secure_coordinator.coordinator if seat == "coordinator" else secure_owner.owner
        return of(self.of, self.request, f.LAB)


def errors(world):
    return {name: node.error for name, node in world.loop.nodes.items() if node.error}


def test_a_model_made_behind_secure_sums_is_released_by_its_owners_and_never_seen_by_the_coordinator():
    world = SecureWorld(settings(rounds=2), recipients=(f.USER,)).run()
    assert not errors(world)
    (release,) = world.contexts[f.USER].shelf
    held = {world.contexts[name].candidate.content for name in world.owners}
    assert held == {release.content}
    assert release.certificate.predicate.facts["content"] == digest(release.content)
    assert release.certificate.predicate.facts["answers"] == [3, 3]
    weights = np.frombuffer(release.content[len(f.TAG) :], "<f4")
    assert [item.content for item in world.contexts[f.LAB].shelf] == [None]
    crossed = [message.body for _, message in world.loop.sent if message.to == f.LAB]
    states = [
        kept for node, _, disk, _ in world.loop.history if node.party == f.LAB for kept in disk.everything
    ]
    for number in weights:
        assert not [body for body in [*crossed, *states] if number.tobytes() in body]
    contents = {
        (sender, message.to) for sender, message in world.loop.sent if message.kind == messages.CONTENT
    }
    assert contents == {(name, f.USER) for name in sorted(world.owners)[:2]}


def test_an_owner_that_drops_out_of_the_training_holds_up_no_release():
    gone = f.OWNERS[0]
    world = SecureWorld(settings(5, dropouts=1, rounds=2), owners=5, recipients=(f.LAB, f.USER))
    world.loop.silent = {gone}
    world.run()
    assert not errors(world)
    for name in (f.LAB, f.USER):
        (release,) = world.contexts[name].shelf
        assert release.certificate.signed_by == frozenset(world.owners) - {gone}
        assert release.content == world.contexts[f.OWNERS[1]].candidate.content


def test_a_step_that_runs_again_after_a_crash_releases_the_same():
    calm, crashed = (SecureWorld(settings(rounds=1), crash=crash).run() for crash in (False, True))
    assert not errors(crashed)
    (one,), (other,) = calm.contexts[f.USER].shelf, crashed.contexts[f.USER].shelf
    assert one.content == other.content
