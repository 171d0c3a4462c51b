"""Who a party is: hybrid keys, cards that chain across rotations, signed envelopes, sealing, keys at rest.

`keys` makes and encodes keys, `envelopes` signs documents (DSSE), `sealing` encrypts to a party (HPKE), `cards`
says which keys speak for which party, `keystore` keeps secrets encrypted on disk, `enrolment` issues transport
certificates, which let a node talk and confer no trust.
"""
