"""MongoDB and Redis, for the deployed application and for checks; start with `databases`."""
