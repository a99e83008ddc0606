"""Name the assets of a release, and write its checksums and its provenance.

They are the same for the same tag, no matter who makes them and when, except for the part of the
provenance that names the run.

Formats: in-toto Statement v1 (https://in-toto.io/Statement/v1) with a SLSA provenance v1 as its
predicate (https://slsa.dev/spec/v1.0/provenance).
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from delivery.errors import ConfigurationError
from delivery.json_reader import read_json
from delivery.release.tag import VersionTag

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:kanvaro-delivery:release:v1"
GZIP = "application/gzip"
TEXT = "text/plain"
SBOM = "application/vnd.cyclonedx+json"
PROVENANCE = "application/vnd.in-toto+json"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Asset:
    """A file of a release: its name on GitHub, its local path, its media type and SHA-256."""

    name: str
    path: Path
    media_type: str
    sha256: str


@dataclass(frozen=True)
class Names:
    """The names of a release's assets, which all begin with `stem`."""

    stem: str

    @property
    def archive(self) -> str:
        return f"{self.stem}.tar.gz"

    @property
    def checksums(self) -> str:
        return f"{self.stem}.sha256"

    @property
    def sbom(self) -> str:
        return f"{self.stem}.cdx.json"

    @property
    def provenance(self) -> str:
        return f"{self.stem}.intoto.json"


def names_of(application: str, tag: VersionTag) -> Names:
    """Return the names of the assets; `application` may be a path, of which the last part counts.

    Raises `ConfigurationError` for a name that is not safe as the name of a file.
    """
    base = application.rpartition("/")[2]
    if not _NAME.fullmatch(base):
        raise ConfigurationError(f"{application!r} cannot be the beginning of a file's name")
    return Names(f"{base}-{tag}")


def checksums(assets: Sequence[Asset]) -> str:
    """Return the text of the file that `sha256sum --check` reads."""
    return "".join(f"{each.sha256}  {each.name}\n" for each in assets)


class Resource(NamedTuple):
    """Something that the provenance names, and its SHA-256; an image's has the prefix `sha256:`."""

    name: str
    digest: str


@dataclass(frozen=True)
class Build:
    """What the provenance says about a build.

    `repository` is a SPDX download location such as `git+https://github.com/owner/name`, `image`
    the image in ECR, `tools` maps programs to versions; `builder` and `run` are addresses.
    """

    repository: str
    tag: VersionTag
    revision: str
    committed_at: str
    environment: str
    image: Resource
    lockfile: Resource
    tools: Mapping[str, str]
    builder: str
    run: str


def provenance(build: Build, assets: Sequence[Asset]) -> str:
    """Write the statement that these assets and this image were made from this revision."""
    image, digest = build.image
    subjects = [(each.name, each.sha256) for each in assets]
    subjects.append((image, digest.removeprefix("sha256:")))
    lockfile, lock_sha256 = build.lockfile
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in subjects],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"repository": build.repository, "ref": build.tag.ref},
                "internalParameters": {"environment": build.environment},
                "resolvedDependencies": [
                    {
                        "uri": f"{build.repository}@{build.tag.ref}",
                        "digest": {"gitCommit": build.revision},
                        "annotations": {"committedAt": build.committed_at},
                    },
                    {"name": lockfile, "digest": {"sha256": lock_sha256}},
                    *({"name": n, "annotations": {"version": v}} for n, v in build.tools.items()),
                ],
            },
            "runDetails": {
                "builder": {"id": build.builder},
                "metadata": {"invocationId": build.run},
            },
        },
    }
    return json.dumps(statement, indent=1, sort_keys=True) + "\n"


def fingerprint(name: str, path: Path) -> str:
    """Return the SHA-256 by which two copies of an asset are compared.

    Of a provenance only the part about the build counts, since each run names itself in it.
    """
    if name.endswith(".intoto.json"):
        try:
            statement = read_json(path.read_bytes())
            del statement["predicate"]["runDetails"]
        except (ValueError, KeyError, TypeError):
            return sha256_of(path)
        return hashlib.sha256(json.dumps(statement, sort_keys=True).encode()).hexdigest()
    return sha256_of(path)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
