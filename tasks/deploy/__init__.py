"""Making a version live and taking it back: `colours` brings it up, `shift` moves the traffic,
`rollback` goes back.
"""
