"""The relay's server: lets nodes meet, keeps their signed documents, serves a log that others check.

It is not trusted: it sees who talks to whom, when and how much, never what. `router` carries, `authority` enrols,
`registry` keeps documents, `logbook` the log, `server` puts them together.
"""
