"""Describe images, services, routes and health; `route` is the front door."""
