"""Voters on every node of a cluster: they know what they were told, and go elsewhere when their node leaves."""

import asyncio
import collections
import time

import client
import election
import http1
from node import until
from timing import limited

# A command has five seconds, and its clients share two processors with everything else: only a hang reaches this.
ANSWER_SECONDS = 30
# How often a balancer looks at the health of a node, and how long it waits for the answer.
LOOK_SECONDS = 0.2
LOOK_PATIENCE_SECONDS = 3


async def is_ready(node):
    """What a balancer finds."""
    try:
        return (await http1.request(node, "GET", "/health/ready", seconds=LOOK_PATIENCE_SECONDS)).status == 200
    except (OSError, EOFError, TimeoutError):
        return False


async def ready_node(cluster, *preferred):
    """The first node that is ready: one of the preferred, or any other."""

    async def find():
        for node in dict.fromkeys([*preferred, *cluster.all()]):
            if await is_ready(node):
                return node

    return await until(find, what="a node that is ready")


class Booth(election.Campaigning):
    """The clients that vote on one node. Counts what went wrong, and notes when votes of a new epoch were acknowledged.

    With `cluster` they stand behind a balancer: when their node is not ready or closes, they go on at another.
    """

    def __init__(self, node, elections, cluster=None):
        super().__init__(node, elections)
        self.cluster = cluster
        self.name = node.environment["TUMULTE_NODE_NAME"]
        self.errors = collections.Counter()
        self.first_ack = {}  # (campaign, epoch) → when
        self.node_may_end = False
        self.breath = 0  # seconds between two turns of a client
        self.longest = 0  # seconds until everything that was sent at once was answered
        self.under_way = {}  # turns without all answers → when they began
        self.balancing = asyncio.Lock()
        self.next_look = 0

    async def enter(self):
        """As everywhere; where the node may end, its clients wait until somebody starts it again, or go elsewhere."""
        if self.cluster:
            return await self.balance()
        while self.node_may_end and self.node.process.poll() is not None and not self.stopping:
            await election.pause(0.05)
        if not self.node_may_end:
            await super().enter()

    async def balance(self):
        async with self.balancing:
            if time.monotonic() >= self.next_look:
                self.node = await ready_node(self.cluster, self.node, self.cluster.nodes[self.name])
                self.next_look = time.monotonic() + LOOK_SECONDS

    async def socket_turn(self, *arguments):
        return await self._timed(super().socket_turn(*arguments))

    async def http_turn(self, *arguments):
        return await self._timed(super().http_turn(*arguments))

    async def _timed(self, turn):
        started = self.under_way[turn] = time.monotonic()
        try:
            left = await turn
        finally:
            del self.under_way[turn]
        self.longest = max(self.longest, time.monotonic() - started)
        if self.breath:
            await election.pause(self.breath)
        return left

    async def answered(self, election, identity, reply, sent_before, last):
        error = reply.get("error") if isinstance(reply.get("error"), dict) else reply
        if "code" in error:
            self.errors[f"{error['code']}: {error.get('message')}"] += 1
        else:
            self.first_ack.setdefault((election.poll["campaignId"], reply["epoch"]), time.monotonic())
        return await super().answered(election, identity, reply, sent_before, last)


class Voting:
    """People vote on several nodes at once, in a UNIQUE and a STANDARD poll that live on the node `home`."""

    def __init__(self, cluster, booths, polls, wandering=()):
        self.cluster = cluster
        dice = iter((0.25, 0.75))
        self.elections = [election.Election(poll, poll["type"] == "UNIQUE", next(dice)) for poll in polls]
        for held in self.elections:
            held.model.nodes_repeat = True
        self.booths = [Booth(node, self.elections, cluster if node in wandering else None) for node in booths]

    @classmethod
    async def held(cls, cluster, homes, booths, leaves="", breath=0):
        """A poll of each kind; with two names in `homes` the UNIQUE one lives on the first and the other on the second.
        Who votes on a node that `leaves` goes on at another. A client rests for `breath` seconds between two turns."""
        polls = []
        for kind, home in zip(("UNIQUE", "STANDARD"), homes * (3 - len(homes))):
            campaign = await cluster.campaign_of(home)
            polls.append(await client.poll(cluster.nodes[home], campaign, type=kind, durationSeconds=1800))
        nodes = [cluster.nodes[name] for name in booths]
        voting = cls(cluster, nodes, polls, [cluster.nodes[name] for name in leaves])
        for booth in voting.booths:
            booth.breath = breath
        return voting

    async def __aenter__(self):
        self.tasks = [
            asyncio.create_task(kind(election))
            for booth in self.booths
            for election in self.elections
            for kind in (booth.socket_client, booth.socket_client, booth.http_client)
        ]
        self.ended = asyncio.gather(*self.tasks)
        return self

    async def __aexit__(self, kind, *_):
        for booth in self.booths:
            booth.stopping = True
        # A wait that ends in the very turn in which it is cancelled forgets the cancellation: then it is repeated.
        left = set(self.tasks)
        while left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=5)
        await asyncio.gather(self.ended, return_exceptions=True)

    @property
    def acks(self):
        return sum(booth.acks for booth in self.booths)

    @property
    def unknowns(self):
        return sum(booth.unknowns for booth in self.booths)

    @property
    def untaken(self):
        return sum(booth.untaken for booth in self.booths)

    @property
    def errors(self):
        return sum((booth.errors for booth in self.booths), collections.Counter())

    @property
    def closes(self):
        """How connections of voters were closed by their nodes: (code, reason) → how often."""
        return sum((booth.closes for booth in self.booths), collections.Counter())

    async def more(self, acks=300):
        """Waits until every booth has had so many more votes acknowledged."""
        await asyncio.gather(*(booth.reach(booth.acks + acks, self.ended) for booth in self.booths))

    async def service(self, since, epochs, seconds, elections=None):
        """Waits until these elections (all of them) have acknowledged votes of an epoch that is higher than `epochs`;
        returns how long after `since` the last one began to."""

        def served():
            moments = []
            for poll_election in elections or self.elections:
                campaign = poll_election.poll["campaignId"]
                times = [
                    moment
                    for booth in self.booths
                    for (of, epoch), moment in booth.first_ack.items()
                    if of == campaign and epoch > epochs[campaign]
                ]
                if not times:
                    return None
                moments.append(min(times))
            return max(moments) - since

        return await until(served, seconds, "votes to be acknowledged by the next owner")

    async def close(self, reader):
        """Lets every vote become known, then compares the tallies that `reader` shows with what the voters know."""
        for booth in self.booths:
            booth.stopping = True
        await limited(asyncio.shield(self.ended), 120)
        faults = [fault for booth in self.booths for fault in booth.faults]
        faults += await election.check(reader, self.elections, exact=True)
        assert not faults, faults[:10]
        silent = sum(booth.silent for booth in self.booths)
        assert silent == 0, f"{silent} requests got no answer"
        assert self.longest < ANSWER_SECONDS, f"an answer took {self.longest:.1f} s"
        for poll_election in self.elections:
            verdict = await client.verify(reader, poll_election.poll["campaignId"])
            assert verdict["ok"] and verdict["liveHash"] == verdict["replayHash"], verdict

    def nothing_failed(self):
        """Every request was answered, and well; who was told to leave had got the answers to all that was taken."""
        assert not self.errors and not self.unknowns, (self.errors, self.unknowns, self.closes)
        drained = [code == 1001 and reason.startswith("drain; retry=") for code, reason in self.closes]
        assert all(drained), self.closes

    @property
    def longest(self):
        return max(booth.longest for booth in self.booths)

    @property
    def figure(self):
        errors = {error.split(":")[0]: 0 for error in self.errors}
        for error, count in self.errors.items():
            errors[error.split(":")[0]] += count
        return (
            f"{self.acks} votes acknowledged, {self.unknowns} in requests without an answer, errors {errors},"
            f" the longest answer took {self.longest:.2f} s"
        )


async def epochs(cluster, voting):
    """The epoch of each election's campaign."""
    return {
        election.poll["campaignId"]: (await cluster.owner({"id": election.poll["campaignId"]}))[1]
        for election in voting.elections
    }
