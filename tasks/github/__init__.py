"""Speak to GitHub about pull requests, statuses and comments: `api` is the front door."""
