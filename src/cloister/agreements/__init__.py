"""Agreements: what parties promise each other, as people read it and as their nodes enforce it.

`terms` is the meaning, `odrl` its written form in the words of `profile` (of ODRL 2.2), `enforceable` finds what no
node can enforce, `signing` makes a document binding, `lifecycle` says in which state it is, `decision` whether a task
is permitted, `differences` and `words` put it in plain sentences, `templates` start from what is usual, asking for a few
`inputs`. Nothing here does I/O or reads a clock.
"""
