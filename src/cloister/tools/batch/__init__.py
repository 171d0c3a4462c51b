"""A tool over many files, as a plant runs it: folders, cameras, what was done already, and how it goes over the shifts.

Running: `discovery` finds files, `running` goes through them and picks up where it was stopped, some at a time on their `line`,
`watching` follows a folder that a camera writes into, `answers` is what programs are told of each file.
Keeping: `samples` is the table with a row for each file, `sample_tables` its columns and older forms; `objects` puts all objects
into one table, `object_rows` into a plant's own database, which `places` opens.
Telling: `trends` says how a figure goes over time, `drawing` writes that as a chart and a table, `report` is the document of a sample.
"""
