"""Where downloads are kept between runs."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """Return this user's cache folder for the sandbox ($XDG_CACHE_HOME is honoured), made."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(root) / "kanvaro-sandbox"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """A new folder to fill; it becomes `folder` when the block ends well, and else is removed."""
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    # For us alone at first; what is cached is read by users inside images, too.
    partial.chmod(0o755)
    try:
        yield partial
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
