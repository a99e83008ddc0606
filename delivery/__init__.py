"""The vocabulary of delivery, and the decisions made in it.

Pure Python: nothing here opens a connection, starts a process, or imports
Prefect, boto3, Docker or httpx. A rule that can be stated without naming a
vendor's client lives here, and is tested in milliseconds.

Imports: the standard library only.
"""
