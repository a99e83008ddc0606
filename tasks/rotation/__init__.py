"""The steps of a rotation of secrets: `rotate` is the front door."""
