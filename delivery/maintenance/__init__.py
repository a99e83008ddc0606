"""What is asked and told between deployments: status, alerts, performance, provisioning; `status`
is the front door.
"""
