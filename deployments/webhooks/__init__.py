"""The receivers of GitHub's and SNS's webhooks; start with `github_webhook`."""
