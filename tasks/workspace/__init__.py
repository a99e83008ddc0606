"""Check a commit out, and run programs and containers on it: `workspace` is the front door."""
