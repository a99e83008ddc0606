"""Read what GitHub sends; write statuses and comments. `events` is the front door."""
