"""GitHub's API as this pipeline uses it: `api` is the front door."""
