"""A server under churn: the load is found, held and sampled, and what was seen is judged.

Before and after, the same number of lives is had and what they left is erased: what the server holds then must be the
same, to the last task, descriptor and object.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from tests.support.http import request

from .churn import Churn
from .drift import Drift, drift
from .inspected import Counts, Inspected, inspected
from .judged import Judged
from .life import ForgetfulUpstream

_MIB = 2**20
_QUIET_S = 25.0
# Threads that a pool may still start: that of the loop for names of hosts, that of the framework for plain functions.
_POOLED = 8
# The allocator takes a mebibyte at a time and touches it page by page: so much is no growth, however short the run.
_GRAIN_MIB = 0.25
# RSS may grow by so much an hour; of a shorter time than this the samples are those of the last caches being filled.
RSS_MIB_PER_HOUR = 1.0
_LEAST_MEASURED_S = 90.0
# More than that between the least and the most that was resident, as a share of it, hides any slope.
_SWING = 0.1


def settings(upstream: ForgetfulUpstream, ended_s: float) -> dict[str, object]:
    """The settings that make a steady state soon, and small buffers; all others are the defaults."""
    return {
        "REALTIME_ENDED_S": ended_s,
        "REALTIME_SEND_BUFFER_BYTES": 4096,
        "REALTIME_HEARTBEAT_S": 1,
        "OPENAI_API_KEY": "x",
        "OPENAI_BASE_URL": f"{upstream.url}/v1",
    }


class Plan(NamedTuple):
    """How long, and how hard.

    Attributes:
        minutes: All of it, without the start of the process and the quiet at the end.
        load: Share of one core that the server is to use.
        lives_per_s: Begin so many instead of finding how many make that load.
    """

    minutes: float = 30.0
    load: float = 0.6
    seed: int = 1
    lives_per_s: float | None = None

    @property
    def warm_up_s(self) -> float:
        """Until the load is found and what is retained is as much as will ever be."""
        return min(self.minutes * 60 / 3, 300.0)

    @property
    def kept_s(self) -> float:
        """Until an ended log is forgotten: long for who observes it, short of the warm-up where that is long enough."""
        return min(max(self.warm_up_s / 4, 20.0), 30.0)

    @property
    def every_s(self) -> float:
        """Between two samples."""
        return min(max(self.minutes * 60 / 300, 0.5), 5.0)


class Result(NamedTuple):
    """What was seen.

    Attributes:
        samples: Seconds since the warm-up, and what the server held then.
        before: What it held when nothing had been asked for a while, before the load, and after it.
    """

    findings: list[str]
    samples: list[tuple[float, Counts]]
    before: Counts
    after: Counts
    load: float
    lives_per_s: float
    judged: Judged


async def soak(plan: Plan) -> Result:
    """Run a server under churn, and judge it."""
    judged = Judged()
    upstream = ForgetfulUpstream()
    async with upstream, inspected(judged.wrote, **settings(upstream, plan.kept_s)) as server:
        churn = Churn(server, judged, plan.seed, plan.lives_per_s or 20.0)
        before = await counts_at_rest(churn, upstream)
        samples, load = await _load(churn, plan)
        after = await counts_at_rest(churn, upstream, before)
    judged.close()
    judged.findings += server.errors
    judged.findings += [*grown(before, after), *growing(samples)]
    return Result(judged.findings, samples, before, after, load, churn.rate, judged)


async def counts_at_rest(
    churn: Churn, upstream: ForgetfulUpstream, like: Counts | None = None, lives: int = 40
) -> Counts:
    """Have so many lives, of every kind, at once, and count what is left when they are over and erased.

    Args:
        upstream: Hangs up when all is over.
        like: Wait, for a while, for the counts to be these again; in any case for them to change no more.
    """
    for _ in range(lives):
        churn.begin()
    await churn.ended()
    await upstream.hang_up()
    await _erase_all(churn.server)
    counts = await churn.server.counts(objects=True)
    before: Counts | None = None
    with suppress(TimeoutError):
        async with asyncio.timeout(_QUIET_S):
            while before is None or _held(before) != _held(counts) or (like is not None and grown(like, counts)):
                # A closed connection takes the server some turns, and there is nothing here that says when.
                await asyncio.sleep(0.5)
                before, counts = counts, await churn.server.counts(objects=True)
    return counts


def _held(counts: Counts) -> tuple[object, ...]:
    return counts.tasks, counts.descriptors, counts.objects


async def _erase_all(server: Inspected) -> None:
    """Erase every log that is kept and has ended; one that has not will be found."""
    erased = True
    while erased:
        erased = False
        page = await request(server.address, "GET", "/v1/generations?limit=100")
        for log in page.json()["generations"]:
            answer = await request(server.address, "DELETE", f"/v1/generations/{log['id']}")
            erased = erased or answer.status == 204


async def _load(churn: Churn, plan: Plan) -> tuple[list[tuple[float, Counts]], float]:
    """Find the load, hold it, and sample; the samples, and the load that it was."""
    clock = asyncio.get_running_loop().time
    running = asyncio.create_task(churn.run())
    try:
        if plan.lives_per_s is None:
            await _find_load(churn, plan)
        else:
            await asyncio.sleep(plan.warm_up_s)
        began = clock()
        samples = [(0.0, await churn.server.counts())]
        while clock() < began + plan.minutes * 60 - plan.warm_up_s:
            await asyncio.sleep(plan.every_s)
            samples.append((clock() - began, await churn.server.counts()))
    finally:
        running.cancel()
        await asyncio.wait({running})
    await churn.ended()
    (start, first), (end, last) = samples[0], samples[-1]
    return samples, (last.cpu_s - first.cpu_s) / (end - start)


async def _find_load(churn: Churn, plan: Plan) -> None:
    """Warm up, and find how many lives a second are the load."""
    clock = asyncio.get_running_loop().time
    began, at, last = clock(), clock(), await churn.server.counts()
    while clock() < began + plan.warm_up_s:
        await asyncio.sleep(min(3.0, plan.warm_up_s / 6))
        counts, now = await churn.server.counts(), clock()
        share = (counts.cpu_s - last.cpu_s) / (now - at)
        # Above the load at first, so that no later peak is the highest.
        wanted = plan.load * (1.2 if now < began + plan.warm_up_s / 2 else 1.0)
        # A machine that is busy with something else gives no more, however many wait.
        churn.rate *= 0.8 if churn.crowded else min(max(wanted / max(share, 0.01), 0.6), 1.5)
        at, last = now, counts


def grown(before: Counts, after: Counts) -> list[str]:
    """What there is more of than at rest before. Threads of a pool come when they are needed, and some go."""
    pairs = [(name, getattr(before, name), getattr(after, name)) for name in ("tasks", "descriptors")]
    pairs += [(kind, before.objects.get(kind, 0), count) for kind, count in after.objects.items()]
    pairs.append(("threads", before.threads + _POOLED, after.threads))
    return [f"{name}: {was} at rest before the load, {now} after it" for name, was, now in pairs if now > was]


def growing(samples: Sequence[tuple[float, Counts]]) -> list[str]:
    """What the samples say against the memory of a steady state: that it grows, or that they cannot tell."""
    rss, hours = rss_drift(samples), samples[-1][0] / 3600
    if samples[-1][0] < _LEAST_MEASURED_S:
        return []
    resident = [counts.rss_bytes / _MIB for _, counts in samples]
    least, most = min(resident), max(resident)
    found = []
    if most - least > _SWING * rss.level:
        found.append(f"RSS swings between {least:.1f} and {most:.1f} MiB, which hides whether it grows")
    if not rss.within(RSS_MIB_PER_HOUR + _GRAIN_MIB / hours):
        found.append(f"RSS grows by {rss.slope * 3600:.2f} MiB an hour; the samples tell it to {rss.noise * 7200:.2f}")
    return found


def rss_drift(samples: Sequence[tuple[float, Counts]]) -> Drift:
    """The line through what was resident, in MiB."""
    return drift([(at, counts.rss_bytes / _MIB) for at, counts in samples])
