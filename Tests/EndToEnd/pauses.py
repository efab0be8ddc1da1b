"""How long slots are served by nobody while they move, and what a flush of votes takes meanwhile."""

import asyncio
import collections
import re

import client
import http1
from node import until


async def many_polls(cluster, count):
    """Campaigns with running polls and votes on every node, so that slots that move have something in memory."""
    polls = []
    for _ in range(0, count, 20):
        campaigns = await asyncio.gather(*(client.campaign(cluster.b) for _ in range(20)))
        polls += await asyncio.gather(*(client.poll(cluster.c, campaign, type="UNIQUE") for campaign in campaigns))
    votes = await asyncio.gather(*(client.vote(cluster.b, poll, option=1, voter="early") for poll in polls))
    assert all(vote.status == 200 for vote in votes), [vote.body for vote in votes if vote.status != 200][:3]
    return polls


async def all_have_one_vote(node, polls):
    for poll in polls:
        assert (await client.read_poll(node, poll))["votes"] == [0, 1, 0], poll


async def hand_offs(cluster, mark):
    """The pauses of slots with campaigns that moved since `mark`, in milliseconds."""

    async def all_noted():
        rows = await cluster.sql(
            "SELECT o.pause_ms FROM ownership_log o WHERE o.id > "
            f"{mark} AND o.cause = 'hand-off' AND EXISTS (SELECT 1 FROM journal j WHERE j.slot = o.slot)"
        )
        return None if "" in rows else [float(row) for row in rows]

    return await until(all_noted, what="the pauses of what moved")


async def flushes(nodes):
    """How many flushes of these nodes took at most so many milliseconds each."""
    counts = collections.Counter()
    for node in nodes:
        for line in (await http1.request(node, "GET", "/metrics")).body.decode().splitlines():
            if found := re.fullmatch(r'tumulte_journal_flush_seconds_bucket\{le="(.+)"\} (\d+)', line):
                counts[float(found[1]) * 1000] += int(found[2])
    return counts


def grown(before, after):
    """The flushes between two counts."""
    return collections.Counter({bound: after[bound] - before[bound] for bound in after})


def quantile(counts, share):
    """Of counted flushes, in milliseconds; evenly spread within a bucket."""
    ascending = sorted(counts.items())
    wanted, lower, below = share * ascending[-1][1], 0.0, 0
    for bound, count in ascending:
        if count >= wanted and count > below:
            return lower if bound == float("inf") else lower + (bound - lower) * (wanted - below) / (count - below)
        lower, below = bound, count
    raise AssertionError(f"no flush in {ascending}")


def figure(pauses, counts):
    """Pauses beside the flushes of the same time: each pause holds two commits, of the last row and of the cession."""
    assert pauses, "no slot with a campaign has moved"
    ascending = sorted(pauses)
    p50, p99 = (quantile(counts, share) for share in (0.5, 0.99))
    return (
        f"{len(ascending)} slots with campaigns paused for {ascending[len(ascending) // 2]:.1f} ms (p50),"
        f" {ascending[int(len(ascending) * 0.99)]:.1f} ms (p99), {ascending[-1]:.1f} ms at most,"
        f" while a flush of votes took {p50:.1f} ms (p50), {p99:.1f} ms (p99)"
    )
