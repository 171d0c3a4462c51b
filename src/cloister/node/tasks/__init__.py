"""Tasks at a node: what people here ask for, what they let others do, and what a running task may touch.

Where to put the next line: what the requester's node does is in `asking`; whether this party takes part in `admitting`; what
its people say to it in `approving` and `withdrawing`. All of it is kept by `records`, how often data was used by `attempts`. A
computation's parts are in `contents` and `computations`. When a task runs, `programs` says which seat's program and
`release_context` what its release is lent. `service` puts these together for what people ask; other nodes' methods
(`peers.reception`) go to the parts.
"""
