"""Tools run on what people drop on the page: without a node, an account or a network; nothing kept unless asked.

`room` is the whole of it; `workers` keeps confined processes warm, `shelf` knows which tools there are, `recent` holds results
for a while, `history` keeps those that somebody wants, `paces` says how often.
"""
