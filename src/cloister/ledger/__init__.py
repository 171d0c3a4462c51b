"""The tamper-evident log: what happened, as salted digests that nobody can change, drop or show differently to others.

`leaves` says what an entry is, `tree` is the Merkle tree over them, `notes` and `checkpoints` are the signed heads,
`witness` cosigns them, `quorum` counts cosignatures, `verify` finds what is wrong with a ledger, `export` is its file
form. Nothing here does I/O: nodes store tree nodes and leaves through the small port in `tree`.
"""
