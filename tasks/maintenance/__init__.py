"""What runs between deployments: status, reconcile, alerts, provisioning; `reconcile` is the front
door.
"""
