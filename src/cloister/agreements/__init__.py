"""Agreements: what parties promise each other, as people read it and as their nodes enforce it.

`terms` is the meaning, `odrl` and `enforceable` the wire form (a profile of ODRL 2.2), `signing` makes a document
binding, `lifecycle` says in which state it is, `decision` whether a task is permitted, `differences` and `words` put
it in plain sentences, `templates` start from what is usual. Nothing here does I/O or reads a clock.
"""
