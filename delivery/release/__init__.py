"""Decide the tag, notes, assets and steps of a GitHub release: `steps` is the front door."""
