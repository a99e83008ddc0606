"""What GitHub sends and is sent: events, answers, statuses and comments; `events` is the front
door.
"""
