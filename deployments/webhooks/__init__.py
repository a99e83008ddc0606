"""The receivers of GitHub's and SNS's webhooks: `github_webhook` is the front door."""
