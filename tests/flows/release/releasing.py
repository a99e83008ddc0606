"""Release on the sandbox's GitHub: one environment, an application that builds, and its tags."""

import json
import os
import sys
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest.mock import patch

from blocks.github_app import GitHubApp
from delivery.run.ledger import Proven
from flows.release import release
from sandbox.parts.sample import git
from sandbox.start import GITHUB_PERMISSIONS
from tasks.github.api import GitHub
from tasks.run import ledger
from tests.flows.deploy.crashes import Process, here, live_process, on_the_wire, without_engine
from tests.tasks.containers.engines import have_image

REPOSITORY = "kanvaro/kanvaro"
# Like Next.js, it writes its folder and random keys, calls a folder as its random id, and leaves
# static files to others.
BUILD = """
const fs = require('fs'), crypto = require('crypto'), made = '.next/standalone';
const draw = (n) => crypto.randomBytes(n).toString('hex');
for (const f of ['.next/static', `${made}/.next/server`, 'public']) {
  fs.mkdirSync(f, { recursive: true });
}
fs.writeFileSync('.next/static/a.js', 'static');
fs.writeFileSync('public/robots.txt', 'none');
fs.writeFileSync(`${made}/server.js`, `const place = "${process.cwd()}"; ${process.env.REVISION}`);
fs.writeFileSync(`${made}/.env.production`, 'SECRET=canary');
const id = crypto.randomBytes(16).toString('base64url').slice(0, 21);
fs.writeFileSync(`${made}/.next/BUILD_ID`, id);
fs.mkdirSync(`.next/static/${id}`);
fs.writeFileSync(`.next/static/${id}/_buildManifest.js`, `self.id = "${id}"`);
const keys = { previewModeId: draw(16), previewModeSigningKey: draw(32) };
const preview = JSON.stringify({ preview: keys });
fs.writeFileSync(`${made}/.next/prerender-manifest.json`, preview);
fs.writeFileSync(`${made}/.next/server/preview-props.json`, JSON.stringify(keys));
const secret = JSON.stringify({ encryptionKey: crypto.randomBytes(32).toString('base64') });
fs.writeFileSync(`${made}/.next/server/server-reference-manifest.json`, secret);
fs.symlinkSync('server.js', `${made}/start.js`);
"""
SCRIPTS = {"build": "node build.js", "test_all": "npm run test:unit"}


class Releasing:
    """One environment with a repository on GitHub, and runs that release its tags."""

    def __init__(self, stand, app, workshop, *, permissions=None, **policy):
        self.stand, self.app, self.hub = stand, app, stand.fakes.github
        self.hub.forget()
        self.hub.faults.clear()
        self.hub.keep(REPOSITORY, app.sample.folder)
        made = self.hub.access.install_app(**(permissions or GITHUB_PERMISSIONS))
        have_image()
        self.environment = stand.environment(**policy)
        self.name = self.environment.name
        self.change(
            repository=app.address,
            github_repository=REPOSITORY,
            github_address=stand.fakes.github_url,
            github_app=GitHubApp(
                app_id=made.app_id, installation=made.installation, private_key=made.private_key
            ),
            workshop=workshop,
        )
        self.id = None
        self.forget_images()

    def forget_images(self):
        """Remove version tags from the images, which all environments of the stand share.

        AWS removes only the tag, but ministack deletes the image, so it is put back here.
        """
        client, name = self.stand.aws.client("ecr"), self.environment.ecr_repository
        for tag in ("v1.0.0", "v2.0.0-rc.1"):
            ids = [{"imageTag": tag}]
            for image in client.batch_get_image(repositoryName=name, imageIds=ids)["images"]:
                [found] = client.describe_images(repositoryName=name, imageIds=ids)["imageDetails"]
                client.batch_delete_image(repositoryName=name, imageIds=ids)
                for other in {*found["imageTags"]} - {tag}:
                    client.put_image(
                        repositoryName=name, imageManifest=image["imageManifest"], imageTag=other
                    )

    def change(self, **settings):
        for name, value in settings.items():
            setattr(self.environment, name, value)
        self.environment.save(self.name, overwrite=True)

    def commit(self, subject="feat: a thing", *, proven=True, files=None, **scripts):
        """Commit on `main`, and record a proof as `ci` would, unless `proven` is false."""
        written = {"build.js": BUILD, **(files or {})}
        revision = self.app.commit(subject=subject, files=written, **{**SCRIPTS, **scripts})
        if proven:
            self.prove(revision)
        return revision

    def prove(self, revision):
        """Record a proof as if `ci` had pushed the image of a revision."""
        digest = self.stand.push(revision)
        proven = Proven(
            revision, digest, self.app.address, "refs/heads/main", "t", ledger.now(), "none"
        )
        ledger.record_proven(self.environment, proven)
        return digest

    def tag(self, name="v1.0.0", *, annotated=True, at="HEAD", force=False):
        """Tag a commit; return the tag's own object."""
        how = ["--annotate", "--message", "A release"] if annotated else []
        git(self.app.sample.folder, "tag", *how, *(["--force"] if force else []), name, at)
        return git(self.app.sample.folder, "rev-parse", name)

    def run(self, tag="v1.0.0", **parameters):
        state = release(tag=tag, environment=self.name, return_state=True, **parameters)
        self.id = state.state_details.flow_run_id
        return state

    def ok(self, tag="v1.0.0", **parameters):
        return self.run(tag, **parameters).result()

    def fail(self, kind, tag="v1.0.0", **parameters):
        error = self.run(tag, **parameters).result(raise_on_failure=False)
        assert isinstance(error, kind), error
        return error

    @property
    def releases(self):
        return self.hub.repository(REPOSITORY).releases

    @property
    def assets(self):
        """Return the only release's assets, content by name."""
        [only] = self.releases
        assert all(each.state == "uploaded" for each in only.assets)
        names = [each.name for each in only.assets]
        assert len(names) == len(set(names))
        return {each.name: each.content for each in only.assets}

    def image(self, tag):
        """Return the digest that ECR has under a tag, or None."""
        client, name = self.stand.aws.client("ecr"), self.environment.ecr_repository
        found = client.batch_get_image(repositoryName=name, imageIds=[{"imageTag": tag}])
        return found["images"][0]["imageId"]["imageDigest"] if found["images"] else None

    def said(self):
        return str([message.blocks for message in self.stand.said(self.id)])

    def assert_whole(self, tag="v1.0.0", draft=False):
        """Check that there is one release with the right assets, and that its image is tagged."""
        [only] = self.releases
        assert (only.tag, only.draft) == (tag, draft)
        stem = f"kanvaro-{tag}"
        endings = (".cdx.json", ".intoto.json", ".sha256", ".tar.gz")
        assert sorted(self.assets) == [stem + each for each in endings]
        stated = json.loads(self.assets[f"{stem}.intoto.json"])
        assert stated["subject"]


def keep(assets, folder):
    """Write assets into a folder, as a download would."""
    os.makedirs(folder, exist_ok=True)
    for name, content in assets.items():
        (folder / name).write_bytes(content)
    return folder


# The module; in its package this name is the flow.
FLOW = sys.modules["flows.release"]
HEAVY = ("write_notes", "install_unless_proven", "run_checks", "build_standalone", "make_assets")


def keeping(kept):
    """Patch the flow so that the results of its expensive steps are recorded."""
    patches = ExitStack()
    for name in HEAVY:
        step = getattr(FLOW, name)

        def remembered(*given, step=step, name=name, **more):
            kept[name] = step(*given, **more)
            return kept[name]

        patches.enter_context(patch.object(FLOW, name, remembered))
    return patches


@contextmanager
def pretended(releasing, kept):
    """Yield a function for runs without an engine, whose expensive steps reuse recorded results."""
    once = GitHub._once

    def counted(self, method, address, **request):
        process = here()
        if process is None:
            return once(self, method, address, **request)
        send = lambda _: once(self, method, address, **request)  # noqa: E731
        return process.send(f"GitHub {method}", None, send)

    with ExitStack() as stack:
        stack.enter_context(without_engine())
        stack.enter_context(on_the_wire())
        stack.enter_context(patch.object(GitHub, "_once", counted))
        for name in HEAVY:
            value = False if name == "install_unless_proven" else kept[name]
            stack.enter_context(patch.object(FLOW, name, lambda *_, value=value, **__: value))
        stack.enter_context(patch.object(FLOW, "conclude_release", lambda *_: None))
        releasing.environment.save(releasing.name, overwrite=True)

        def run(crash=None, hold=None, **parameters):
            process = Process(crash, counts=_counts, hold=hold)
            given = {"draft": False, "prerelease": False, **parameters}
            flow = lambda: release.fn(tag="v1.0.0", environment=releasing.name, **given)  # noqa: E731
            return SimpleNamespace(answer=live_process(process, flow), process=process)

        yield run


def _counts(operation):
    return operation.startswith("GitHub") or operation == "PutImage"
