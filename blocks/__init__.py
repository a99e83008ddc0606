"""What operators configure: where things are, and how we get in.

A block holds addresses, credentials and a way to obtain a client. It decides
nothing and waits for nothing; that is what `delivery` and `tasks` are for.

Imports: delivery, for its types. Never tasks or flows.
"""
