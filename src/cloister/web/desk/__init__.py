"""What lies on the desk: things that the page keeps between two looks of a person. Views say what is; they keep nothing.

- `dataset_drafts`: what was typed for a dataset so far; in the server's database, until it is registered or given up.
- `work`: what takes longer than a page waits for; in memory, until somebody has seen what came of it, or the server ends.
- `waiting`: what waits for people; in memory, looked at anew after some seconds or once something was written.
"""
