"""The mail provider: an SMTP server whose accounts change; start with `smtp`."""
