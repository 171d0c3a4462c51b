"""Disclosures at one node: given by its owner's people, received by its researcher's, kept, logged and told to the other side.

`giving` is the owner's half, `receiving` the recipient's, `kept` what both keep, `exchange` what travels between the nodes.
"""
