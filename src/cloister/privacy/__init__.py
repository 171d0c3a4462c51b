"""Noise, its accounting, and the budgets that it is charged to. Pure: no file, socket, database or clock.

Noise: `stream` turns a journalled secret into a keystream, `discrete_gaussian` takes exact integer noise from it,
`sampling` secret samples; `lattice` brings float vectors to integers and back; `mechanisms` says how much noise each node
adds. Accounting: `gaussian`, `renyi` and `pld` bound what a run costs, `accounting` asks them, `runs` states a whole run as a
plan does. Budgets: `filters` decide whether a loss still fits, `budgets` keep what was spent. `auditing` finds noise that is
smaller than it should be. The derivations are in `docs/proofs/`.
"""
