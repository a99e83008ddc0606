"""Create the sample application's git repository, as a team would keep it."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

APP = Path(__file__).parents[1] / "app"
BRANCH = "main"
# One author and time for all commits, so that the same content is the same revision everywhere.
_IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada Sample",
    "GIT_AUTHOR_EMAIL": "ada@kanvaro.invalid",
    "GIT_COMMITTER_NAME": "Ada Sample",
    "GIT_COMMITTER_EMAIL": "ada@kanvaro.invalid",
    "GIT_AUTHOR_DATE": "2026-01-05T09:00:00+0000",
    "GIT_COMMITTER_DATE": "2026-01-05T09:00:00+0000",
}


@dataclass(frozen=True)
class Sample:
    """A repository on this machine, with its branch `main`."""

    folder: Path

    @property
    def revision(self) -> str:
        """Return the newest commit of the current branch."""
        return git(self.folder, "rev-parse", "HEAD")

    def branch(self, name: str) -> None:
        """Create a branch here and switch to it."""
        git(self.folder, "switch", "--quiet", "--create", name)

    def commit(self, files: dict[str, str], subject: str) -> str:
        """Write `files` (text by path), commit them, and return the new revision."""
        for path, text in files.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--message", subject)
        return self.revision


def sample_repository(folder: Path) -> Sample:
    """Create the repository in `folder` anew; its only commit is the application as it is here."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for path in _files_of_the_app():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(APP / path, target)
    git(folder, "init", "--quiet", f"--initial-branch={BRANCH}")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "The projects page counts its visitors")
    return Sample(folder)


def _files_of_the_app() -> Iterable[Path]:
    """List the files that git would include: neither packages nor build output."""
    listed = git(APP, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    paths = [Path(path) for path in listed.split("\0") if path]
    return [path for path in paths if (APP / path).is_file()]


def git(folder: Path, *arguments: str) -> str:
    """Run git in `folder` as the sample author, without the machine's settings."""
    result = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
            **_IDENTITY,
            "GIT_CONFIG_GLOBAL": "/dev/null",
            # The checkout may belong to another user, for instance in a container.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()
