"""The mail provider: an SMTP server whose accounts change; `smtp` is the front door."""
