"""The vocabulary of where an application runs: images, services, routes, health; `route` is the
front door.
"""
