"""The JSON interface under `/api/v1`: thin routes that parse, call a service of the node, and answer."""
