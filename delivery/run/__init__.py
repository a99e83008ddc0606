"""What every run records: the rows of the ledger and the summary; `ledger` is the front door."""
