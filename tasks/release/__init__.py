"""Make a GitHub release, from the tag to the published assets: `plan` is the front door."""
