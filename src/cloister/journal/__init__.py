"""Durable steps: a task's seat is a small state machine whose every step survives a crash.

`program` has the words (Program, Phase, Step, Local), `runner` executes them. A step's new state, its journal row,
its ledger leaf and its outgoing messages are committed in one transaction; only then are messages sent.
"""
