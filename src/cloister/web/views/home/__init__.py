"""What home shows: the parts of what waits for whom, what happened lately, what a new server begins with."""
