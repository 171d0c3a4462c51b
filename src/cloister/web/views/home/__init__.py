"""What home shows: what waits for whom, what happened lately, what a new server begins with."""
