"""Messages between nodes: who may say what to whom is decided elsewhere; this carries it, signed and sealed.

`interface` has the words, `envelope` signs and seals, `memory` carries within one process for tests, `zenoh` through
the hub.
"""
