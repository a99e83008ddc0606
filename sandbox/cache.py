"""Where downloads are kept between runs."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return this user's cache folder for the sandbox ($XDG_CACHE_HOME is honoured), made."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(root) / "kanvaro-sandbox"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
