"""The people of one organisation at its own node: what they may do, how they sign in, when two of them are needed.

Rules without I/O; the node stores what they decide, and other parties never hear of them.
"""
