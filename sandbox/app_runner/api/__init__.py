"""App Runner's control API, as boto3 speaks it: `protocol` is the front door."""
