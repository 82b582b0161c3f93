"""Who asks. Endpoints authenticate and hand a Principal on; `SessionManager` authorises, and only there."""

from typing import Literal

import msgspec

from .errors import RealtimeError
from .log import Meta

Scope = Literal["start", "observe", "stop", "erase"]

ALL_SCOPES: frozenset[Scope] = frozenset({"start", "observe", "stop", "erase"})


class Principal(msgspec.Struct, frozen=True):
    """A tenant, a subject within it, and what it may do.

    Attributes:
        tenant: Part of the key of everything that is stored.
        subject: Sees and stops only its own; None is a server-side key that owns all of its tenant's.
        scopes: What it may do at all.
        only: The one generation it may touch; None for no such limit.
    """

    tenant: str = "default"
    subject: str | None = None
    scopes: frozenset[Scope] = ALL_SCOPES
    only: str | None = None

    def require(self, scope: Scope) -> None:
        """Raise `forbidden` unless the principal has the scope."""
        if scope not in self.scopes:
            raise RealtimeError("forbidden", f"This needs the scope {scope!r}.", field=scope)

    def sees(self, meta: Meta) -> bool:
        """Whether a log is this principal's. What it does not see is, to it, not there."""
        return (
            meta.tenant == self.tenant and self.subject in (None, meta.subject) and self.only in (None, meta.generation)
        )


ANONYMOUS = Principal()
