"""A tool over many files, as a plant runs it: folders, cameras, what was done already, and how it goes over the shifts.

`discovery` finds files, `samples` is the table with a row for each, `running` goes through files and picks up where it was
stopped, `watching` follows a folder that a camera writes into, `objects` puts all objects into one table, and `trends` tells
how a figure goes over time.
"""
