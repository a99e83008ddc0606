"""Open pull requests on the sandbox's GitHub and run `pull-request` for them."""

import json
import uuid

from pydantic import SecretStr

from blocks.environment import Environment
from blocks.github_app import GitHubApp
from blocks.policy import Policy
from blocks.serving import AppRunnerService
from delivery.github.coverage_comment import MARKER
from flows.pull_request import pull_request
from sandbox.github.words import BOT
from sandbox.parts.sample import git
from sandbox.start import GITHUB_PERMISSIONS
from tests.tasks.containers.engines import NO_METADATA, have_image

REPOSITORY = "kanvaro/kanvaro"
LCOV = (
    "const fs = require('fs'); fs.mkdirSync('coverage', {recursive: true});"
    "fs.writeFileSync('coverage/lcov.info', fs.readFileSync('lcov.txt'));"
)
COVERED = {"test_coverage": "node cover.js"}


def lcov(**lines):
    """Return a report: `a=(1, 2)` means one of two lines of src/a.ts."""
    told = []
    for name, (hit, of) in lines.items():
        counted = [f"DA:{number},{int(number <= hit)}" for number in range(1, of + 1)]
        told += [f"SF:src/{name}.ts", *counted, f"LF:{of}", f"LH:{hit}", "end_of_record"]
    return "\n".join(told) + "\n"


def files(**lines):
    """Return the files of an application whose check `coverage` reports these lines."""
    return {"lcov.txt": lcov(**lines), "cover.js": LCOV}


class Pulling:
    """One environment with a repository on GitHub, its pull requests, and their runs."""

    def __init__(self, fakes, app, workshop, *, app_permissions=None, **policy):
        have_image()
        self.hub, self.app = fakes.github, app
        self.hub.forget()
        self.hub.faults.clear()
        self.hub.keep(REPOSITORY, app.sample.folder)
        self.name = f"test-{uuid.uuid4().hex[:8]}"
        made = self.hub.access.install_app(**(app_permissions or GITHUB_PERMISSIONS))
        self.environment = Environment(
            name=self.name,
            repository=app.address,
            strategy="in-place",
            metadata_address=NO_METADATA,
            service=AppRunnerService(access_role_arn="arn:aws:iam::000000000000:role/ecr"),
            github_repository=REPOSITORY,
            github_address=fakes.github_url,
            github_app=GitHubApp(
                app_id=made.app_id, installation=made.installation, private_key=made.private_key
            ),
            # The default table gives it databases.
            delivery_toml="[checks.coverage]\nservices = []\n",
            advisory_registry="http://127.0.0.1:9",
            workshop=workshop,
            policy=Policy(**policy),
        )
        self.environment.save(self.name, overwrite=True)
        self.id = None

    login = BOT

    def change(self, **policy):
        """Change the environment's policy."""
        for name, value in policy.items():
            setattr(self.environment.policy, name, value)
        self.environment.save(self.name, overwrite=True)

    def change_settings(self, **settings):
        """Change the environment itself, including its secrets."""
        secret = {name: SecretStr(value) for name, value in settings.items()}
        self.environment = self.environment.model_copy(update=secret)
        self.environment.save(self.name, overwrite=True)

    def logged(self, check):
        """Return what a check has written in all its runs."""
        logs = (self.environment.data_dir / "logs").glob(f"*/{check}.log")
        return "\n".join(log.read_text() for log in sorted(logs))

    @property
    def repository(self):
        return self.hub.repository(REPOSITORY)

    def open(self, branch="change", **more):
        """Open a pull request for an existing branch; return its number."""
        return self.hub.open_pull(REPOSITORY, head=branch, **more).number

    def run(self, number, revision):
        state = pull_request(
            number=number, revision=revision, environment=self.name, return_state=True
        )
        self.id = state.state_details.flow_run_id
        return state

    def ok(self, number, revision):
        return self.run(number, revision).result()

    def error(self, number, revision):
        return self.run(number, revision).result(raise_on_failure=False)

    def statuses(self, revision):
        """Return the newest status of each context, as `state: description`."""
        return newest_statuses(self.repository, revision)

    def states(self, revision):
        return {name: said.split(":")[0] for name, said in self.statuses(revision).items()}

    def targets(self, revision):
        return {each["target_url"] for each in self.repository.statuses if each["sha"] == revision}

    @property
    def comments(self):
        """Return the bodies of our comments."""
        ours = (each for each in self.repository.comments if each.login == BOT)
        return [each.body for each in ours if each.body.startswith(MARKER)]


def newest_statuses(repository, revision):
    """Return the newest status of each context on GitHub, as `state: description`."""
    told = [each for each in repository.statuses if each["sha"] == revision]
    return {each["context"]: f"{each['state']}: {each['description']}" for each in told}


def branch(app, name, **commit):
    """Commit on a new branch from `main`; return the revision."""
    git(app.sample.folder, "switch", "--quiet", "main")
    app.sample.branch(name)
    revision = app.commit(**commit)
    git(app.sample.folder, "switch", "--quiet", "main")
    return revision


def with_table(**checks):
    """Return a delivery.toml."""
    return {
        "delivery.toml": "".join(
            f"[checks.{name}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in given.items())
            for name, given in checks.items()
        )
    }
