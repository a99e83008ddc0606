"""Build real images of a few megabytes from this machine's own Python: nothing is pulled."""

import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

APPLICATION = Path(__file__).with_name("tiny_app.py")
_IMPORTS = "http.server, json, signal, threading, encodings.utf_8, encodings.ascii, encodings.idna"
_NEEDED = f"""
import json, sys, {_IMPORTS}
print(json.dumps([m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)]))
"""


def context(revision):
    """Return a build context, as a tar file, for an image of one revision."""
    python = Path(sys._base_executable).resolve()
    modules = json.loads(
        subprocess.run(
            [python, "-I", "-S", "-c", _NEEDED], check=True, capture_output=True, text=True
        ).stdout
    )
    libraries = [path for path in (str(python), *modules) if not path.endswith(".py")]
    files = {str(python), *modules, *_linked(libraries)}
    dockerfile = [
        "FROM scratch",
        "COPY root /",
        "COPY tiny_app.py /tiny_app.py",
        f"ENV REVISION={revision} BEHAVIOUR=healthy PYTHONDONTWRITEBYTECODE=1",
        f'CMD ["{python}", "-S", "/tiny_app.py"]',
    ]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted(files):
            tar.add(Path(path).resolve(), f"root{path}")
        tar.add(APPLICATION, "tiny_app.py")
        text = "\n".join(dockerfile).encode()
        header = tarfile.TarInfo("Dockerfile")
        header.size = len(text)
        tar.addfile(header, io.BytesIO(text))
    packed.seek(0)
    return packed


def _linked(libraries):
    listed = subprocess.run(["ldd", *libraries], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"(/\S+) \(0x", listed))
