"""The values of secrets: reading, checking and renewing them; `secret_value` is the front door."""
