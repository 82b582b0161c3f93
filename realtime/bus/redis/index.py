"""What there is, and what was claimed: idempotency keys, conversations, and the lists of a tenant's generations."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from realtime.bus.base import Claim
from realtime.bus.retention import Retention
from realtime.log import Meta

from .answers import refused
from .connections import Connections
from .keys import TenantKeys, tenant_keys
from .scripts import CLAIM

# A generation may live for a day beside what is kept of it afterwards; what is older is in no list any more.
_LONGEST_S = 86_400.0
# Longer than any start takes from its claim to its log, and than the clocks of two machines are apart.
_NEW_S = 60.0


class Claimed(NamedTuple):
    """What became of a claim.

    Attributes:
        word: `NEW`; or what another has: `BUSY`, the conversation, `SAME`, the key, `MISMATCH`, the key for another
            request.
        new: It was claimed a moment ago, so its log may be about to be made.
    """

    word: str
    generation: str
    new: bool


class Index:
    """See the module. All of it is about names; whether a named log still exists is for the caller to find out."""

    def __init__(self, connections: Connections, retention: Retention) -> None:
        self._connections = connections
        self._life_s = _LONGEST_S + retention.ended_s

    async def claimed(self, tenant: str, subject: str | None, claim: Claim) -> Claimed | None:
        """Who has a key: `SAME`, or `MISMATCH`; None when nobody has."""
        name = tenant_keys(tenant, subject).idempotency(claim.idempotency_key)
        (found,) = await self._ask(("HMGET", name, "generation", "fingerprint"))
        if found[0] is None:
            return None
        return Claimed("SAME" if found[1] == claim.fingerprint else "MISMATCH", found[0].decode(), new=False)

    async def claim(self, meta: Meta, claim: Claim, over: str = "") -> Claimed:
        """Claim for a generation what its start asks for.

        Args:
            over: A generation that is known to be no more, or never to have been.

        Raises:
            RealtimeError: `bus_*`.
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
        word, generation, created_ms = (part.decode() for part in answer)
        return Claimed(word, generation, new=bool(created_ms) and _is_new(created_ms))

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

    async def forget_old(
        self, tenant: str, subject: str | None, generations: Sequence[str], talk: str | None = None
    ) -> set[str]:
        """Take generations of which there is no log out of a subject's list, or out of a conversation. One that was
        claimed a moment ago stays: its log is about to be made, in another process.

        Returns:
            Those that are listed there no more.
        """
        keys = tenant_keys(tenant, subject)
        listed = keys.own if talk is None else keys.conversation(talk)
        claimed_ms = await self._ask(*(("ZSCORE", listed, one) for one in generations))
        old = [one for one, at in zip(generations, claimed_ms, strict=True) if at is None or not _is_new(at)]
        await self.forget([(tenant, subject, one, talk) for one in old])
        return set(old)

    async def forget(self, metas: Sequence[tuple[str, str | None, str, str | None]], claim_key: str = "") -> None:
        """Take generations out of every list: tenant, subject, generation and conversation of each."""
        commands: list[Sequence[Any]] = [("UNLINK", claim_key)] if claim_key else []
        for tenant, subject, generation, talk in metas:
            keys: TenantKeys = tenant_keys(tenant, subject)
            names = {keys.all, keys.own} | ({keys.conversation(talk)} if talk is not None else set())
            commands += [("ZREM", name, generation) for name in sorted(names)]
        await self._ask(*commands)

    async def _ask(self, *commands: Sequence[Any]) -> list[Any]:
        if not commands:
            return []
        answers = await self._connections.all(commands)
        for answer in answers:
            if (fault := refused(answer)) is not None:
                raise fault
        return answers


def _is_new(created_ms: str | bytes | float) -> bool:
    """Whether a generation that was created then may still be without a log."""
    return float(created_ms) > (time.time() - _NEW_S) * 1000
