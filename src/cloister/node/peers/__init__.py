"""The other parties as this node meets them: whose keys speak, what they may ask and leave here, and the hub between.

Where to put the next line: cards of parties in `parties`, those that could not be learned in `unlearned`, what was verified
already in `verified`; documents kept in step in `documents`; methods that others may call in `reception`, limits to what they
leave here in `quotas`; the way to the hub in `hub_link`, this node as a witness of its log in `hub_witness`.
"""
