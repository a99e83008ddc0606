"""A Prefect server and its workers: database, security, access, work pools; `server` is the front
door.
"""
