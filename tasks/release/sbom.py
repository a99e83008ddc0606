"""Make the SBOM of a release: what the committed lockfile says that the application runs with.

Nothing is installed or asked for it, so that it is the same whenever it is made. It is a CycloneDX
document (https://cyclonedx.org/specification/), held against the schema of its format.
"""

import base64
import binascii
import posixpath
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from prefect.logging import get_run_logger

from delivery.checks.plan import CheckPlan
from delivery.errors import ConfigurationError
from delivery.text import shortened
from delivery.workspace.lockfiles.locked import ALWAYS, RUNNING, Locked, LockedPackage
from delivery.workspace.package_json import read_package
from tasks.release.tag import Tagged
from tasks.workspace.checkout import Source
from tasks.workspace.committed import read_committed
from tasks.workspace.lockfile import locked_packages

LONGEST = 214
MISSING_SHOWN = 5
FORMAT = SchemaVersion.V1_5

# Registries put the files of a package below this.
_OF_A_REGISTRY = "/-/"
_ALGORITHMS = {
    "md5": HashAlgorithm.MD5,
    "sha1": HashAlgorithm.SHA_1,
    "sha256": HashAlgorithm.SHA_256,
    "sha384": HashAlgorithm.SHA_384,
    "sha512": HashAlgorithm.SHA_512,
}
_BITS = {"md5": 128, "sha1": 160, "sha256": 256, "sha384": 384, "sha512": 512}
_INTEGRITY = re.compile(r"(md5|sha1|sha256|sha384|sha512)-([A-Za-z0-9+/=]{1,120})(?:\?\S{0,100})?")


class Described(NamedTuple):
    """An application whose SBOM is made: its name and version, and the key of its folder."""

    name: str
    version: str
    locked: Locked
    key: str


def described(source: Source, plan: CheckPlan, version: str) -> Described:
    """Read what the SBOM is made of. Raises `RequestRefused` if the lockfile does not say it."""
    folder = plan.table.folder
    path = posixpath.normpath(posixpath.join(folder, "package.json"))
    locked = locked_packages(source, plan.manager, folder)
    key = locked.of(posixpath.relpath(folder, plan.manager.root))
    name = read_package(read_committed(source, path) or "{}", path).name
    return Described(name, version, locked, key)


def sbom(tagged: Tagged, plan: CheckPlan) -> str:
    """Return the SBOM of a tag. Raises `RequestRefused` if the lockfile does not say it."""
    application = described(tagged.source, plan, tagged.tag.name.removeprefix("v"))
    if missing := application.locked.missing:
        shown = ", ".join(missing[:MISSING_SHOWN])
        get_run_logger().warning("%d packages are not locked: %s", len(missing), shown)
    return written(application, tagged.revision, tagged.source.committed_at)


def written(application: Described, revision: str, committed_at: str) -> str:
    """Write the SBOM without traces of time and chance. Raises `ConfigurationError`."""
    locked, key = application.locked, application.key
    running = locked.reached(key, RUNNING)
    always = locked.reached(key, ALWAYS)
    refs = {each: _ref(package) for each, package in running.items()}
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"urn:kanvaro-delivery:sbom:{revision}"))
    bom.metadata.timestamp = datetime.fromisoformat(committed_at)
    bom.metadata.component = root = Component(
        type=ComponentType.APPLICATION,
        bom_ref="application",
        name=shortened(application.name, LONGEST),
        version=application.version,
    )
    # A package that lies in several folders is one component.
    required = {refs[each] for each in always}
    components = {
        refs[each]: _component(package, refs[each], is_required=refs[each] in required)
        for each, package in running.items()
    }
    bom.components.update(components.values())
    needs: dict[str, set[str]] = {}
    for each in running:
        needs.setdefault(refs[each], set()).update(_needed(locked, each, refs))
    bom.register_dependency(root, _among(components, _needed(locked, key, refs)))
    for ref, needed in needs.items():
        bom.register_dependency(components[ref], _among(components, needed - {ref}))
    text = make_outputter(bom, OutputFormat.JSON, FORMAT).output_as_string(indent=1)
    if problem := JsonStrictValidator(FORMAT).validate_str(text):
        raise ConfigurationError(f"the SBOM is no CycloneDX document: {str(problem)[:LONGEST]}")
    return text + "\n"


def _needed(locked: Locked, key: str, refs: Mapping[str, str]) -> set[str]:
    return {refs[need.key] for need in locked.needs.get(key, ()) if need.kind in RUNNING
            and need.key in refs}  # fmt: skip


def _among(components: Mapping[str, Component], refs: Iterable[str]) -> list[Component]:
    return [components[ref] for ref in sorted(refs)]


def _ref(package: LockedPackage) -> str:
    if package.is_local:
        return f"folder:{package.name}@{package.version}"
    return _purl(package).to_string()


def _component(package: LockedPackage, ref: str, *, is_required: bool) -> Component:
    scope, name = _parted(package.name)
    license_ = shortened(package.license, LONGEST)
    address = _public(package.resolved)
    return Component(
        type=ComponentType.LIBRARY,
        bom_ref=ref,
        group=scope or None,
        name=name,
        version=shortened(package.version, LONGEST) or None,
        scope=ComponentScope.REQUIRED if is_required else ComponentScope.OPTIONAL,
        purl=None if package.is_local else _purl(package),
        hashes=_hashes(package.integrity),
        licenses=[LicenseFactory().make_from_string(license_)] if license_ else [],
        external_references=[
            ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(address))
        ]
        if address
        else [],
    )


def _purl(package: LockedPackage) -> PackageURL:
    """Name a package as https://github.com/package-url/purl-spec says, and its place if need be."""
    scope, name = _parted(package.name)
    address = _public(package.resolved)
    qualifiers = {}
    if address.startswith("git"):
        qualifiers = {"vcs_url": address}
    elif address and _OF_A_REGISTRY not in address:
        # What lies elsewhere may be another package than the published one of this version.
        qualifiers = {"download_url": address}
    version = shortened(package.version, LONGEST) or None
    return PackageURL("npm", scope or None, name, version, qualifiers)


def _parted(name: str) -> tuple[str, str]:
    scope, slash, rest = shortened(name, LONGEST).rpartition("/")
    return (scope, rest) if slash and rest else ("", shortened(name, LONGEST) or "unnamed")


def _public(address: str) -> str:
    """Return an address without what could log in there; nothing for a path of the repository."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    if not parts.netloc:
        return ""
    host = parts.netloc.rpartition("@")[2]
    fragment = parts.fragment if parts.scheme.startswith("git") else ""
    return urlunsplit((parts.scheme, host, parts.path, "", fragment))[:2_000]


def _hashes(integrity: str) -> list[HashType]:
    """Return the digests of a Subresource Integrity text, which have their own length."""
    found = []
    for algorithm, encoded in _INTEGRITY.findall(integrity[:2_000]):
        try:
            digest = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            continue
        if len(digest) * 8 == _BITS[algorithm]:
            found.append(HashType(alg=_ALGORITHMS[algorithm], content=digest.hex()))
    return found
