"""The systems that check a credential: databases, mail provider, key ring, Secrets Manager;
`credential` is the front door.
"""
