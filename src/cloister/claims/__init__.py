"""The vocabulary of plans: what is asked, what is offered, what is claimed about it, what it costs.

`vocabulary` has claims and their order, `offers` requests, facts, offers and plans, `statements` the sentences that
people read.
"""
