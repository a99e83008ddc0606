"""Show a release in the demonstration: the live version is tagged, and its assets are verified."""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from delivery.errors import DeliveryError
from delivery.text import duration
from deployments.demo.command_line import CommandLine, seconds_of
from deployments.sandbox_environment import GITHUB_REPOSITORY
from sandbox.addresses import Addresses
from sandbox.parts.sample import Sample, git

TAG = "v1.0.0"
# The sandbox's GitHub accepts any token, but requires one.
ACCESS = {"Authorization": "Bearer somebody-who-downloads"}
BYTES = {"Accept": "application/octet-stream"}


def show_release(line: CommandLine, sample: Sample, addresses: Addresses) -> str:
    """Tag the live revision, release it, verify the public downloads, and return the figures.

    Raises `RolloutFailed` if the run does not succeed, and `DeliveryError` if an asset does not
    match its checksum.
    """
    live = httpx.get(f"{addresses.public}/api/health", timeout=10).json()["revision"]
    git(sample.folder, "tag", "--annotate", "--message", "The first release", TAG, live)
    _push(sample, addresses)
    run = line.run("release/kanvaro", tag=TAG)
    release = _get(addresses, f"releases/tags/{TAG}").json()
    print(f"GitHub has {release['name']} of {live[:10]}: {release['html_url']}\n")
    print("\n".join(f"    {text}" for text in release["body"].splitlines()))
    with TemporaryDirectory() as folder:
        for asset in release["assets"]:
            content = _downloaded(addresses, asset["id"])
            (Path(folder) / asset["name"]).write_bytes(content)
            print(f"    {asset['size']:>10} bytes  {asset['name']}")
        verified = _verified(Path(folder))
    seconds = duration(seconds_of(run))
    return f"{TAG} released in {seconds} with {len(release['assets'])} assets, {verified} verified"


def _push(sample: Sample, addresses: Addresses) -> None:
    """Register the repository's folder at the sandbox's GitHub, in place of `git push`."""
    kept = {"repository": GITHUB_REPOSITORY, "folder": str(sample.folder)}
    httpx.post(f"{addresses.fakes}/_sandbox/github/repositories", json=kept).raise_for_status()


def _get(addresses: Addresses, path: str, **headers: str) -> httpx.Response:
    url = f"{addresses.github}/repos/{GITHUB_REPOSITORY}/{path}"
    answer = httpx.get(url, headers={**ACCESS, **headers}, timeout=60)
    if answer.is_error:
        raise DeliveryError(f"GitHub answered HTTP {answer.status_code} for {path}")
    return answer


def _downloaded(addresses: Addresses, asset: int) -> bytes:
    """Download an asset; GitHub redirects to its storage, whose address contains its own token."""
    answer = _get(addresses, f"releases/assets/{asset}", **BYTES)
    if not answer.has_redirect_location:
        return answer.content
    return httpx.get(answer.headers["Location"], timeout=60).raise_for_status().content


def _verified(folder: Path) -> int:
    """Return how many files in a folder match the checksums beside them."""
    [sums] = folder.glob("*.sha256")
    verification = subprocess.run(
        ["sha256sum", "--check", "--strict", sums.name],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"\n$ sha256sum --check --strict {sums.name}\n{verification.stdout}")
    if verification.returncode:
        raise DeliveryError(f"an asset is not what its checksum says: {verification.stderr}")
    return verification.stdout.count(": OK")
