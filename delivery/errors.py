"""
Everything that can stop a delivery:

* DeliveryError
  x ConfigurationError      the environment, the stage table or this machine is described wrongly
    + SecretMalformed       a secret's value is not of the shape that its rotation needs
  x RequestRefused          the run was asked for something that cannot be done
    + UnknownRevision       no such commit, ref or repository
    + NeverProven           the image did not pass the checks of `ci`
    + Superseded            a newer run waits for the same deploy lock
    + ForkHeld              the policy lets no code of a fork run, or not before a person read it
  x CheckFailed             the application's own check said no
    + CheckTimedOut         it did not finish in its time
    + CheckCancelled        another required check had failed already
    + ScannerDidNotRun      a scanner gave no verdict, and no verdict is not a pass
  x ImageFailed             the image could not be built or pushed
    + ImageConflict         the tag holds another digest
  x EngineUnavailable       the Docker engine does not answer
  x AccessDenied            AWS, a registry, GitHub or a database refused our credentials
  x PlatformBusy            another operation holds the service
  x Unforeseen              a fault of the pipeline itself, named by its place
  x OutcomeUnknown          an answer was lost and reading did not tell what happened
    + AnswerLost            GitHub may have done it: the sender reads before sending again
  x GitHubRefused           GitHub cannot do what it was asked
    + NotOnGitHub           what is named is not there, or is not shown to us
  x CredentialUnfit         a new credential did not pass its test, and was not promoted
  x StillAccepted           an old credential still logs in after it was retired
  x RolloutFailed           the new version did not become fit to serve
    + RolledBack            the platform put the old version back
    + NeverBecameHealthy    it runs, but its health endpoint disagrees
    + SmokeFailed           its smoke tests said no
    + NotConvincing         what users met during the shift was worse, or too little to tell
    + TakenBack             a person asked for the old version during the shift
  x ProvisioningFailed      a stack is not as its template says, and a person must look
  x Drift                   the cloud differs from what the ledger says we did
  x Fenced                  this run lost the deploy lock and may change nothing any more
  x TimedOut                we stopped waiting
  x StageLost               a check that ran on another worker ended without a verdict
  x Unreachable             a server did not answer, again and again

A message says what happened; the `hint` says what to do about it. Both are shown in Slack, so
neither may hold a secret. What a terminal would obey is taken out of both.
"""

from delivery.printable import printable


class DeliveryError(Exception):
    """Base class of every failure this project raises on purpose: a verdict, never retried."""

    hint: str = "Open the run for its full log."

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(printable(message))
        self.hint = printable(hint or type(self).hint)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders as pickles, which would forget a keyword-only hint.
        return (_restored, (type(self), str(self), self.hint))


def _restored(kind: type[DeliveryError], message: str, hint: str) -> DeliveryError:
    return kind(message, hint=hint)


class ConfigurationError(DeliveryError):
    hint = "Correct the setting that is named, then run again. Nothing was changed."


class SecretMalformed(ConfigurationError):
    hint = "Correct the secret's value by hand (docs/rotation.md), then run again."


class RequestRefused(DeliveryError):
    hint = "Start the run again with other parameters. Nothing was changed."


class UnknownRevision(RequestRefused):
    hint = "Check that the commit was pushed and that the repository is the right one."


class NeverProven(RequestRefused):
    hint = "Run `ci` for that revision: only what passed its checks goes to users."


class Superseded(RequestRefused):
    hint = "Nothing to do: the newer run goes on. Nothing was changed by this one."


class ForkHeld(RequestRefused):
    hint = "docs/github.md says how a pull request from a fork is checked. Nothing of it was run."


class CheckFailed(DeliveryError):
    hint = "Run the same npm script on the same revision to see it locally."


class CheckTimedOut(CheckFailed):
    hint = "Give the check more time in delivery.toml (`timeout`), or find out what it waits for."


class CheckCancelled(CheckFailed):
    hint = "Look at the check that failed first."


class ScannerDidNotRun(CheckFailed):
    hint = "Make the scanner reachable, or say in the environment that it may be absent."


class ImageFailed(DeliveryError):
    hint = "Run `docker build` on the same revision to see it locally. Nothing was deployed."


class ImageConflict(ImageFailed):
    hint = "Tags are immutable: build a new revision, or delete the tag by hand if it is wrong."


class EngineUnavailable(DeliveryError):
    hint = "Start the Docker engine and run again: what was already proven is not repeated."


class AccessDenied(DeliveryError):
    hint = "Check the credentials of the environment and the policy of its role."


class PlatformBusy(DeliveryError):
    hint = "Wait for the operation that is named, then run again."


class OutcomeUnknown(DeliveryError):
    hint = "Look at the service's operations before running again; nothing is sent twice."


class Unforeseen(DeliveryError):
    hint = (
        "This is a fault of the pipeline: report the place that is named. This step retired "
        "nothing, so that what is current still works; running again is harmless."
    )


class AnswerLost(OutcomeUnknown):
    hint = "Run again: it reads what GitHub has before it sends anything."


class GitHubRefused(DeliveryError):
    hint = "Correct what GitHub names, then run again."

    def __init__(self, message: str, *, hint: str | None = None, codes: tuple[str, ...] = ()):
        super().__init__(message, hint=hint)
        self.codes = codes


class NotOnGitHub(GitHubRefused):
    hint = "Check the name. A token that may not see a private repository gets the same answer."


class CredentialUnfit(DeliveryError):
    hint = "The old credential is current and still works. Mend what is named, then run again."


class StillAccepted(DeliveryError):
    hint = "The new credential is in use. Lock the old account by hand, and find out who undid it."


class RolloutFailed(DeliveryError):
    hint = "Read the new version's logs, mend it, run again; `status` says what serves."


class RolledBack(RolloutFailed):
    pass


class NeverBecameHealthy(RolloutFailed):
    hint = "Open the health endpoint and the application's log; roll back if users are affected."


class SmokeFailed(RolloutFailed):
    hint = "No traffic went to it. Run `test:smoke` against the idle colour to see it locally."


class CanaryFailed(RolloutFailed):
    hint = "The traffic is back on the old version. Compare both colours' logs and metrics."


class AbortedByRollback(RolloutFailed):
    hint = "The old version serves, as was asked. Run `blue-green` again when it may go on."


class ProvisioningFailed(DeliveryError):
    hint = "Mend what is named, then run again: it reads before it changes anything."


class Drift(DeliveryError):
    hint = "Somebody changed it by hand: find out who; `status` shows both sides."


class Fenced(DeliveryError):
    hint = "Another run holds the deploy lock and recovers what this one left: look at that run."


class TimedOut(DeliveryError):
    hint = "What was awaited may still happen: look at it, then run again."


class StageLost(DeliveryError):
    hint = "Look at that run and at its worker (memory, disk), then run again: passes are kept."


class Unreachable(DeliveryError):
    hint = "Check the network and the address, then run again: it reads before it changes anything."
