"""Create the secrets of deployments/compose: `python -m deployments.server.compose_secrets`.

Existing ones are not changed. The certificate is self-signed for `localhost`; replace it with your
own. Everybody can read the files, because containers run as other users, but not enter the folder.
"""

import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet

FOLDER = Path(__file__).parents[1] / "compose" / "secrets"
USER = "kanvaro"
DAYS = 365
TO_MAKE_S = 60

# https://docs.prefect.io/v3/advanced/security-settings: `user:password`.
VALUES: dict[str, Callable[[], str]] = {
    "database_password": lambda: secrets.token_urlsafe(32),
    "api_auth": lambda: f"{USER}:{secrets.token_urlsafe(32)}",
    "encryption_key": lambda: Fernet.generate_key().decode(),
}


def make_secrets(folder: Path) -> list[str]:
    """Create what is missing in `folder`; return the names of what was created."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    made = [name for name in VALUES if not (folder / name).exists()]
    for name in made:
        (folder / name).write_text(VALUES[name]())
        (folder / name).chmod(0o444)
    if not (folder / "certificate").exists() or not (folder / "certificate_key").exists():
        _certificate(folder)
        made.append("certificate")
    return made


def _certificate(folder: Path) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", str(DAYS), "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(folder / "certificate_key"), "-out", str(folder / "certificate")),
        ],
        check=True,
        capture_output=True,
        timeout=TO_MAKE_S,
    )
    for name in ("certificate", "certificate_key"):
        (folder / name).chmod(0o444)


def main() -> int:
    made = make_secrets(FOLDER)
    print(f"{FOLDER}: made {', '.join(made) or 'nothing, all are there'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
