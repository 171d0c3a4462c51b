"""What every other package stands on: errors, canonical JSON, digests, clocks, safe files. No domain words here."""
