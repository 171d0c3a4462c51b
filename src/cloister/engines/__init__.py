"""Engines: sandboxed worker processes behind one small interface, so that heavy or foreign-fed code never runs in a node.

A node server never imports JAX. It calls a method of a worker by name; arguments and results are JSON and arrays.
"""
