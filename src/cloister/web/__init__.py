"""A node's page and JSON interface: one application, behind the operator's socket and behind the network's door.

`guard` says who may do what, `doors` who is there, `routes` is how every route is registered.
"""
