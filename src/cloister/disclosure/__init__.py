"""Samples that an owner chooses to disclose: selected pictures or rows, sealed to one researcher, for a purpose, until a date.

Everything else in Cloister keeps records at their owner. This is the declared exception, so every part of it is a signed
document: the *disclosure* (which records, to whom, what for, until when), the *withdrawal* by which the owner ends it early,
and the *receipts* by which the recipient says that it opened the records and that it deleted them. `documents` has these,
`records` and `package` how the records travel, `permission` what agreements say to it, `states` how it stands.

What is promised ends at the recipient's wall: its node deletes its copies in time and says so under its signature. No
software can show that nobody made another copy. An owner who needs that promise must not disclose.
"""
