"""Noise, its accounting, and the budgets that it is charged to. Pure: no file, socket, database or clock.

`stream` turns a journalled secret into a keystream, `discrete_gaussian` samples integers from it exactly, `lattice`
brings float vectors to integers and back, `mechanisms` says how much noise each node adds, `renyi` and `accounting`
what a run of it costs, `filters` and `budgets` whether a population can still afford it, `auditing` how to find noise
that is smaller than it should be. The derivations are in `docs/proofs/`.
"""
