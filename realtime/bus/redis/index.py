"""What there is, and what was claimed: idempotency keys, conversations, and the lists of a tenant's generations."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from realtime.bus.base import Claim
from realtime.bus.memory_writer import Retention
from realtime.errors import RealtimeError
from realtime.log import Meta

from .connections import Connections, refused
from .keys import TenantKeys, tenant_keys
from .scripts import CLAIM

# A generation may live for a day beside what is kept of it afterwards; what is older is in no list any more.
_LONGEST_S = 86_400.0


class Claimed(NamedTuple):
    """What became of a claim: `NEW`, or who has it."""

    word: str
    generation: str


class Index:
    """See the module. All of it is about names; whether a named log still exists is for the caller to find out."""

    def __init__(self, connections: Connections, retention: Retention) -> None:
        self._connections = connections
        self._life_s = _LONGEST_S + retention.ended_s

    async def claimed(self, tenant: str, subject: str | None, claim: Claim) -> str | None:
        """The generation that a key made; raises `idempotency_mismatch`."""
        name = tenant_keys(tenant, subject).idempotency(claim.idempotency_key)
        (found,) = await self._ask(("HMGET", name, "generation", "fingerprint"))
        if found[0] is None:
            return None
        if found[1] != claim.fingerprint:
            raise RealtimeError("idempotency_mismatch", field="Idempotency-Key")
        return str(found[0].decode())

    async def claim(self, meta: Meta, claim: Claim, over: str = "") -> Claimed:
        """Claim for a generation what its start asks for.

        Args:
            over: A generation that is known to be no more, or never to have been.

        Raises:
            RealtimeError: `idempotency_mismatch`, `bus_*`.
        """
        keys = tenant_keys(meta.tenant, meta.subject)
        talk = meta.conversation
        answer = await self._connections.run(
            CLAIM,
            (
                keys.idempotency(claim.idempotency_key),
                keys.all if talk is None else keys.active(talk),
                keys.all,
                keys.own,
                keys.all if talk is None else keys.conversation(talk),
            ),
            (
                meta.generation,
                claim.fingerprint,
                int(self._life_s * 1000),
                meta.created_ms,
                "1" if claim.exclusive else "",
                over,
                int((time.time() - self._life_s) * 1000),
            ),
        )
        if (fault := refused(answer)) is not None:
            raise fault
        word, generation = answer[0].decode(), answer[1].decode()
        if word == "MISMATCH":
            raise RealtimeError("idempotency_mismatch", field="Idempotency-Key")
        return Claimed(word, generation)

    async def conversation(self, tenant: str, name: str) -> list[str]:
        """Its generations, oldest first."""
        (found,) = await self._ask(("ZRANGE", tenant_keys(tenant, None).conversation(name), 0, -1))
        return [one.decode() for one in found]

    async def newest(self, tenant: str, subject: str | None, before: str | None, count: int) -> list[str] | None:
        """So many generations of a subject, newest first, those before one of them; None when it is not there."""
        keys = tenant_keys(tenant, subject)
        first = 0
        if before is not None:
            (rank,) = await self._ask(("ZREVRANK", keys.own, before))
            if rank is None:
                return None
            first = rank + 1
        (found,) = await self._ask(("ZREVRANGE", keys.own, first, first + count - 1))
        return [one.decode() for one in found]

    @staticmethod
    def claim_key(meta: Meta, claim: Claim) -> str:
        """Where its idempotency key is kept; empty when it has none."""
        if claim.idempotency_key is None:
            return ""
        return tenant_keys(meta.tenant, meta.subject).idempotency(claim.idempotency_key)

    async def forget(self, metas: Sequence[tuple[str, str | None, str, str | None]], claim_key: str = "") -> None:
        """Take generations out of every list: tenant, subject, generation and conversation of each."""
        commands: list[Sequence[Any]] = [("UNLINK", claim_key)] if claim_key else []
        for tenant, subject, generation, talk in metas:
            keys: TenantKeys = tenant_keys(tenant, subject)
            names = {keys.all, keys.own} | ({keys.conversation(talk)} if talk is not None else set())
            commands += [("ZREM", name, generation) for name in sorted(names)]
        if commands:
            await self._ask(*commands)

    async def _ask(self, *commands: Sequence[Any]) -> list[Any]:
        answers = await self._connections.all(commands)
        for answer in answers:
            if (fault := refused(answer)) is not None:
                raise fault
        return answers
