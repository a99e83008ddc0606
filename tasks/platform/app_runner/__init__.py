"""AWS App Runner as the platform: `service` is the front door."""
