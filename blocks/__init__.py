"""Blocks hold what operators configure: addresses, credentials and policies, and make clients.

They decide nothing and wait for nothing; that is what `delivery` and `tasks` are for.

Imports: delivery, for its types. Never tasks or flows.
"""
