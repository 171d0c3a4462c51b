"""What screens show, put together from the services of a node; nothing is decided here."""
