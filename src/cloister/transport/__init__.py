"""Messages between nodes: who may say what to whom is decided elsewhere; this carries it, signed and sealed.

Where to put the next line: calls and their answers in `messenger`, `answering`, `answers`, `replies`; what is on the wire in
`frames` and `envelope`; large bodies in `blobs`, `pulling`, `pace`; the way over the hub in `zenoh*`, `doubt`, `hub_client`,
`invitation`; within one process, for tests, in `memory`. `tunnel*` carries a library's TCP connection; no node uses it yet.
`interface` has the words.
"""
