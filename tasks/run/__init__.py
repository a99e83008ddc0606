"""What every run has: the deploy lock, the ledger, intents, approval, Slack messages, its outcome.
`lock` is the front door.
"""
