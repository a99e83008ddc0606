"""Parameters that flows share, as the forms of the Prefect UI show and refuse them.

Constraints stand in types and descriptions in defaults: Prefect keeps no others. What does not
fit is refused before a run is made. A password in a URL must not even be stored as a parameter.
"""

from typing import Annotated

from pydantic import Field

from delivery.maintenance.provisioning import Stack
from delivery.release.tag import LONGEST_TAG, TAG
from delivery.rotation.facts import SecretKind
from delivery.workspace.source_names import REF, REPOSITORY, REVISION, VERSION

# An environment: what Prefect lets a block be called, and no longer than names of services may be.
Registered = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Revision = Annotated[str, Field(pattern=REVISION)]
Ref = Annotated[str, Field(pattern=REF, max_length=200)]
Repository = Annotated[str, Field(pattern=REPOSITORY)]
PullNumber = Annotated[int, Field(ge=1, le=100_000_000)]
Tag = Annotated[str, Field(pattern=TAG, max_length=LONGEST_TAG)]
Wanted = Annotated[str, Field(pattern=VERSION)]
# White space is no reason.
Reason = Annotated[str, Field(min_length=3, max_length=300, pattern=r"\S")]
OptionalReason = Annotated[str, Field(max_length=300)]
RotationId = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._:-]{0,63})?$")]
Secrets = Annotated[list[SecretKind], Field(min_length=1)]
Stacks = Annotated[list[Stack], Field(min_length=1)]
