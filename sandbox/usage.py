"""Print how to use a running sandbox."""

from pathlib import Path

from sandbox.addresses import Addresses


def usage(where: Addresses, folder: Path) -> str:
    """Return how to use the sandbox and how to stop it; holds no secret."""
    images = ", ".join(f"{name} {image}" for name, image in where.service_images.items())
    return f"""
The sandbox is ready. AWS tools and boto3 find it by these variables:

  export AWS_ENDPOINT_URL={where.aws}
  export AWS_ENDPOINT_URL_APPRUNNER={where.app_runner}
  export AWS_REGION={where.region} AWS_DEFAULT_REGION={where.region}
  export AWS_ACCESS_KEY_ID=sandbox AWS_SECRET_ACCESS_KEY=sandbox

  public name     {where.public}
  log in to ECR   echo sandbox | docker login --username AWS --password-stdin {where.registry}
  Slack messages  {where.slack_page}
  GitHub API      {where.github}
  Codecov         {where.codecov}
  npm audit       npm audit --registry {where.advisories}
  databases       {images} (Docker network {where.network})
  all addresses   {folder}/addresses.json; tokens in {folder}/secrets.json
  inject faults   curl -X POST {where.fakes}/_sandbox/slack/faults \\
                    -H 'Content-Type: application/json' -d '{{"kind": "down", "times": 3}}'
                  curl -X POST {where.edge} -d '{{"propagation_s": 5, "store_fails": false}}'
  stop            Ctrl-C, or from anywhere: python -m sandbox --stop --folder {folder}
"""
