"""App Runner's control API, as boto3 uses it; start with `protocol`."""
