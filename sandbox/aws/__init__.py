"""The emulated AWS account but for App Runner and CloudFront: `aws` is the front door."""
