"""How programs speak to a node: over its Unix socket, with the same errors that people see."""
