"""MongoDB and Redis, for the deployed application and for checks: `databases` is the front door."""
