"""Instances that run the application, and the reverse proxy before them; start with `instance`."""
