"""Decisions and messages between deployments: status, alerts, performance, provisioning; `status`
is the front door.
"""
