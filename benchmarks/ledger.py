"""How long the ledger takes: appending, proving and verifying at 10^5 entries.

The peer of appending is SHA-256 itself: the two hashes per entry that any such tree must make. The peer of a proof's
verification is one pair of signatures. Maintained Merkle trees for Python are under the GPL and are not installed here.

    python benchmarks/ledger.py [--quick] [--json FILE|-]
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
from typing import Any

from cloister.identity.keys import SecretKeys
from cloister.ledger.checkpoints import Checkpoint, cosigned_at, ledger_origin, sign_checkpoint, witness_name
from cloister.ledger.leaves import conceal
from cloister.ledger.tree import MemoryNodes, Tree, leaf_hash, verify_consistency, verify_inclusion
from cloister.ledger.verify import Stored, verify_ledger
from cloister.ledger.witness import Cosigned, consider
from measure import alternating, row, seconds, show

NOW = 1_800_000_000
ORIGIN = ledger_origin("a" * 52)
WITNESS = witness_name("b" * 52)


def grown(leaves: list[bytes]) -> Tree:
    """A tree over the leaves."""
    tree = Tree(MemoryNodes())
    for leaf in leaves:
        tree.append(leaf)
    return tree


def hashes_alone(leaves: list[bytes]) -> None:
    """As many SHA-256 computations as a tree over the leaves needs, over as many bytes."""
    pair = bytes(65)
    for leaf in leaves:
        hashlib.sha256(b"\x00" + leaf).digest()
        hashlib.sha256(pair).digest()


def main() -> int:
    """Runs everything and prints it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="10^4 entries instead of 10^5")
    parser.add_argument("--json", metavar="FILE", help="write the figures there (- for standard output)")
    options = parser.parse_args()
    count = 10_000 if options.quick else 100_000
    log, watcher = SecretKeys.generate(), SecretKeys.generate()
    document = "sha256:" + "0" * 64
    leaves = [conceal("decision", document, NOW + index)[0].encode() for index in range(count)]
    rows = []

    ours, peer = alternating(lambda: grown(leaves), lambda: hashes_alone(leaves))
    rows.append(
        row(f"append {count} entries", "s", ours, target=2e-5 * count, peer=peer, peer_name="SHA-256 alone")
    )
    ours, _ = alternating(
        lambda: [conceal("decision", document, NOW)[0].encode() for _ in range(count // 10)], None
    )
    rows.append(row("make one salted entry", "us", ours / (count // 10) * 1e6, target=100))

    tree = grown(leaves)
    root, half, half_root = tree.root(), count // 2 + 1, tree.root(count // 2 + 1)
    picks = range(0, count, count // 200)
    signature = log.sign(b"message")
    pair = seconds_of_pair(log, signature)
    ours, _ = alternating(lambda: [tree.inclusion_proof(index) for index in picks], None)
    rows.append(row(f"inclusion proof in {count}", "us", ours / len(picks) * 1e6, target=500))
    proofs = {index: tree.inclusion_proof(index) for index in picks}
    ours, _ = alternating(
        lambda: [
            verify_inclusion(leaf_hash(leaves[i]), i, count, proof, root) for i, proof in proofs.items()
        ],
        None,
    )
    rows.append(
        row(
            f"verify an inclusion proof in {count}",
            "us",
            ours / len(picks) * 1e6,
            target=500,
            peer=pair * 1e6,
            peer_name="one Ed25519 and one ML-DSA-65 verification",
        )
    )
    proof = tree.consistency_proof(half)
    ours, _ = alternating(lambda: verify_consistency(half, count, half_root, root, proof), None)
    rows.append(row(f"verify a consistency proof to {count}", "us", ours * 1e6, target=500))

    note = sign_checkpoint(Checkpoint(ORIGIN, count, root), log, NOW + count)
    ours, _ = alternating(lambda: sign_checkpoint(Checkpoint(ORIGIN, count, root), log, NOW + count), None)
    rows.append(row("sign and date a checkpoint", "ms", ours * 1e3, target=20))

    def ask() -> Cosigned:
        answer = consider(
            None,
            note,
            0,
            [],
            origin=ORIGIN,
            log_keys=[log.public],
            name=WITNESS,
            keys=watcher,
            now=NOW + count,
        )
        assert isinstance(answer, Cosigned)
        return answer

    ours, _ = alternating(ask, None)
    rows.append(row("a witness checks and cosigns", "ms", ours * 1e3, target=20))
    note = note.with_lines(ask().lines)
    ours, _ = alternating(lambda: cosigned_at(note, WITNESS, [watcher.public]), None)
    rows.append(row("verify a cosignature", "ms", ours * 1e3, target=5))

    stored = [Stored(index, leaf, leaf_hash(leaf)) for index, leaf in enumerate(leaves)]
    reports = []
    ours, peer = alternating(
        lambda: reports.append(
            verify_ledger(
                stored,
                [note],
                origin=ORIGIN,
                log_keys=[log.public],
                witnesses={WITNESS: [watcher.public]},
                threshold=1,
                now=NOW + 2 * count,
            )
        ),
        lambda: hashes_alone(leaves),
    )
    assert all(report.ok for report in reports), reports[0].words()
    rows.append(
        row(
            f"verify a ledger of {count} entries",
            "s",
            ours,
            target=1e-4 * count,
            peer=peer,
            peer_name="SHA-256 alone",
        )
    )
    show(rows, options.json)
    return 0 if all(item["holds"] for item in rows) else 1


def seconds_of_pair(keys: SecretKeys, signature: Any) -> float:
    """The median time of verifying one hybrid signature."""
    return statistics.median(seconds(lambda: keys.public.verify(b"message", signature)) for _ in range(50))


if __name__ == "__main__":
    sys.exit(main())
