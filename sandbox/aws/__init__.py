"""The emulated AWS account, except for App Runner and CloudFront; start with `aws`."""
