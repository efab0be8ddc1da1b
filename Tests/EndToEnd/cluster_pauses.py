"""The pauses of slots that move, of many drains and joins, so that a percentile is one: run alone, since the nodes share
the processors with everything else.

People vote on all nodes throughout: more than a thousand votes a second, as a large audience does, then as fast as the
clients can, which leaves the nodes what these leave of the processors. No time is asserted.
"""

import asyncio
import collections
import signal
import time

import suite
from cluster_nodes import Cluster, undisturbed
from pauses import all_have_one_vote, figure, flushes, grown, hand_offs, many_polls
from suite import test, within

ROUNDS = 5
CAMPAIGNS = 600
# Between two windows of votes of a client.
BREATH_SECONDS = 0.05


class Moves:
    """What was measured in the moves of one kind."""

    def __init__(self):
        self.pauses = []
        self.flushes = collections.Counter()
        self.votes = 0
        self.seconds = 0

    async def measure(self, cluster, nodes, voting, move):
        """Has slots moved and counts what happens at `nodes`, which stay, meanwhile."""
        mark, before = await cluster.mark(), await flushes(nodes)
        votes, started = voting.acks, time.monotonic()
        await move()
        self.seconds += time.monotonic() - started
        self.votes += voting.acks - votes
        self.flushes += grown(before, await flushes(nodes))
        self.pauses += await hand_offs(cluster, mark)

    @property
    def figure(self):
        return f"{figure(self.pauses, self.flushes)}; {self.votes / self.seconds:.0f} votes/s"


async def written_before(cluster):
    """The server's log as that of one that has run for a while: no commit waits for a new file of it to be filled."""
    for _ in range(5):
        await cluster.sql("SELECT pg_logical_emit_message(false, 'tumulte', 'a row that nobody reads')")
        await cluster.sql("SELECT pg_switch_wal()")
    await cluster.sql("CHECKPOINT")


async def drains_and_joins(breath):
    """A node leaves and comes back, again and again; returns what was measured of both."""
    drains, joins = Moves(), Moves()
    async with Cluster() as cluster:
        await written_before(cluster)
        polls = await many_polls(cluster, CAMPAIGNS)
        stay = [cluster.b, cluster.c]

        async def leave():
            cluster.a.signal(signal.SIGTERM)
            await cluster.settled("b", "c")

        async def come():
            await cluster.a.start()
            await cluster.settled()

        for _ in range(ROUNDS):
            async with undisturbed(cluster, "a", leaves="a", breath=breath) as voting:
                await drains.measure(cluster, stay, voting, leave)
                assert await cluster.a.ended() == 0, cluster.a.log_tail()
            async with undisturbed(cluster, "b", on="bc", breath=breath) as voting:
                await joins.measure(cluster, stay, voting, come)
        await all_have_one_vote(cluster.c, polls)
    return drains, joins


@test
@within(300)
async def slots_move_while_a_large_audience_votes():
    drains, joins = await drains_and_joins(BREATH_SECONDS)
    print(f"figure: {ROUNDS} drains: {drains.figure}")
    print(f"figure: {ROUNDS} joins: {joins.figure}")


@test
@within(300)
async def slots_move_while_clients_vote_as_fast_as_they_can():
    drains, joins = await drains_and_joins(0)
    print(f"figure: {ROUNDS} drains, clients that never pause: {drains.figure}")
    print(f"figure: {ROUNDS} joins, clients that never pause: {joins.figure}")


if __name__ == "__main__":
    arguments = suite.parser("pauses of slots that move").parse_args()
    suite.run(arguments.only, parallel=1)
