"""Local training at an owner: a signed recipe, prepared data, rounds of steps in JAX, evaluation. Runs in a worker process.

`recipe` and `preparation`'s parameters are documents and import nothing heavy; `local`, `evaluate` and `methods` import JAX.
"""
