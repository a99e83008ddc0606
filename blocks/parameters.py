"""Define the parameters that flows share, as the forms of the Prefect UI show and check them.

Constraints are in the types and descriptions in the defaults: Prefect keeps no others. A value that
does not fit is refused before a run is created: a password in a URL must not even be stored.
"""

from typing import Annotated

from pydantic import Field

from delivery.maintenance.provisioning import Stack
from delivery.release.tag import LONGEST_TAG, TAG
from delivery.rotation.facts import SecretKind
from delivery.workspace.source_names import REF, REPOSITORY, REVISION, VERSION

# An environment: a name that Prefect allows for a block, and as long as a service's may be.
Registered = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Revision = Annotated[str, Field(pattern=REVISION)]
Ref = Annotated[str, Field(pattern=REF, max_length=200)]
Repository = Annotated[str, Field(pattern=REPOSITORY)]
PullNumber = Annotated[int, Field(ge=1, le=100_000_000)]
# A login at GitHub.
Approver = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._@-]{0,79})?$")]
Tag = Annotated[str, Field(pattern=TAG, max_length=LONGEST_TAG)]
Wanted = Annotated[str, Field(pattern=VERSION)]
# White space is no reason.
Reason = Annotated[str, Field(min_length=3, max_length=300, pattern=r"\S")]
OptionalReason = Annotated[str, Field(max_length=300)]
RotationId = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._:-]{0,63})?$")]
Secrets = Annotated[list[SecretKind], Field(min_length=1)]
Stacks = Annotated[list[Stack], Field(min_length=1)]
