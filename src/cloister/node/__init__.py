"""A party's server: wiring only. What is decided is decided in the packages below; here it meets disk, network and people.

`folder` and `setup` make a node, `node` holds its parts together, each `*_service` is what people and other nodes can
ask of it, `api` shows them over a Unix socket, `server` runs it. Two rooms below: `tasks` (asked for, admitted, run) and
`peers` (the other parties and the hub). What a node does by itself is in `chores` (when: `steward`).
"""
