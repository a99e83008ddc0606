"""Keep downloads between runs."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """Return this user's cache folder for the sandbox, below $XDG_CACHE_HOME if set; create it."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(root) / "kanvaro-sandbox"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """Create a folder to fill; it becomes `folder` if the block succeeds, else it is removed."""
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    # mkdtemp makes it private, but users inside images read the cache, too.
    partial.chmod(0o755)
    try:
        yield partial
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
