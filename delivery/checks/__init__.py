"""Which checks a revision must pass, and what their reports say: `plan` is the front door."""
