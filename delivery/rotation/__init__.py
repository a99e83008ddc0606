"""What a rotation does next, and how it is recorded: `next_step` is the front door."""
