"""Build images, find versions, and read and change services, routes, health and metrics.

`versions` and `router` are the front doors; `app_runner` is one platform.
"""
