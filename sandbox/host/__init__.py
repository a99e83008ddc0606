"""This machine: which programs it has, its Docker engine, and what dead sandboxes left there;
`engine` is the front door.
"""
