"""Where the application runs: images, versions, services, routers, health and metrics. `versions`
and `router` are the front doors; `app_runner` is one platform.
"""
