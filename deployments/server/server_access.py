"""Find the Prefect server for a command, and check that it answers.

It is the one of PREFECT_API_URL, of Prefect's profile, or else that of `make server` here.
"""

import os
import signal
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import certifi
import httpx
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    PREFECT_API_URL,
    get_current_settings,
    temporary_settings,
)

from delivery.errors import AccessDenied, ConfigurationError, DeliveryError, Unreachable
from deployments.server.security import HOST, LOOPBACK, PASSWORD, PORT, keys_folder

ON_THIS_MACHINE = f"http://{HOST}:{PORT}/api"
TO_ANSWER_S = 10.0


def client_variables() -> dict[str, str]:
    """Return the environment variables with which Prefect's own programs reach the server."""
    url = (PREFECT_API_URL.value() or ON_THIS_MACHINE).rstrip("/")
    password = _password(url)
    return {"PREFECT_API_URL": url, **({"PREFECT_API_AUTH_STRING": password} if password else {})}


@contextmanager
def at_the_server() -> Iterator[Mapping[str, str]]:
    """Let this process, and those it starts, use the server, once it has answered.

    Raises `Unreachable`, `AccessDenied` or `ConfigurationError`.
    """
    variables = client_variables()
    require_answer(variables)
    os.environ.update(variables)
    with speaking_by(variables):
        yield variables


@contextmanager
def speaking_by(variables: Mapping[str, str]) -> Iterator[None]:
    """Use the server of these variables in the block, whether it answers or not."""
    password = variables.get("PREFECT_API_AUTH_STRING")
    with temporary_settings(
        {PREFECT_API_URL: variables["PREFECT_API_URL"], PREFECT_API_AUTH_STRING: password}
    ):
        yield


def require_answer(variables: Mapping[str, str]) -> None:
    """Return if a Prefect server answers and accepts us; else raise what `at_the_server` raises."""
    url = variables["PREFECT_API_URL"]
    given = variables.get("PREFECT_API_AUTH_STRING", "")
    user, _, password = given.partition(":")
    try:
        answer = httpx.get(
            f"{url}/admin/version",
            auth=(user, password) if given else None,
            timeout=TO_ANSWER_S,
            verify=_authorities(),
        )
    except httpx.HTTPError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise Unreachable(
                f"the certificate of {url} is of nobody that this machine trusts",
                hint="Set PREFECT_API_SSL_CERT_FILE to the certificate, or to its authority.",
            ) from None
        raise Unreachable(
            f"no Prefect server answers at {url} ({type(error).__name__})",
            hint="Start one (`make server`), or set PREFECT_API_URL to the address of yours.",
        ) from None
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        verb = "refuses our password" if given else "asks for a password"
        raise AccessDenied(
            f"the Prefect server at {url} {verb}",
            hint="Set PREFECT_API_AUTH_STRING=user:password as the server has it.",
        )
    if not answer.is_success or not answer.headers.get("content-type", "").endswith("json"):
        raise ConfigurationError(
            f"what answers at {url} is no Prefect server ({answer.status_code})",
            hint="PREFECT_API_URL is the server's address with /api at its end.",
        )


def _authorities() -> ssl.SSLContext:
    """Trust what Prefect's client trusts: the named file, certifi's list, or anything if set so."""
    if PREFECT_API_TLS_INSECURE_SKIP_VERIFY.value():
        anybody = ssl.create_default_context()
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        return anybody
    named = PREFECT_API_SSL_CERT_FILE.value()
    try:
        return ssl.create_default_context(cafile=named or certifi.where())
    except OSError as error:
        raise ConfigurationError(
            f"{named} cannot be read as certificates ({error})",
            hint="PREFECT_API_SSL_CERT_FILE is a file of certificates in PEM.",
        ) from None


def command(name: str, run: Callable[[], int]) -> int:
    """Run one of our commands and return its exit code; print an error with its hint.

    If the reader of its output ends (`make status | head -1`), it ends like a program after
    SIGPIPE.
    """
    try:
        code = run()
        sys.stdout.flush()
        return code
    except DeliveryError as error:
        print(f"{name}: {error}\n{error.hint}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The rest of the output must go somewhere, or Python reports an error when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _password(url: str) -> str:
    """Return the password: the one in Prefect's settings, else that of this machine's server."""
    if given := get_current_settings().api.auth_string:
        return given.get_secret_value()
    if urlsplit(url).hostname not in LOOPBACK:
        return ""  # it is only for this machine's server
    with suppress(OSError):
        return (keys_folder() / PASSWORD).read_text().strip()
    return ""
