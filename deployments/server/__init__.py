"""A Prefect server and its workers: database, security, access, work pools; start with `server`."""
