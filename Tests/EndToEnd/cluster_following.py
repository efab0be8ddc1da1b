"""Subscribers on every node of a cluster: what they see has no gap that they were not told of, wherever they are."""

import asyncio
import collections
import contextlib

import client
import election
import node as nodes
from cluster_voting import Voting, ready_node
from timing import limited

# Between two signals of a campaign.
NUMBER_SECONDS = 0.05


class Follower:
    """A subscriber that keeps every position and event of a campaign, and notices where one goes down.

    Of signals with numbers none may be missing, unless the node said that it had lost the subscriber's place. With
    `cluster` it resumes at another node when its own closes.
    """

    def __init__(self, socket, campaign, first, cluster=None):
        self.socket = socket
        self.campaign = campaign
        self.cluster = cluster
        self.position = client.position(first)
        self.poll = first.get("poll")
        self.started, self.ended, self.updates, self.resyncs = [], [], 0, 0
        self.countdown = []  # (epoch, seconds left)
        self.number, self.may_skip = 0, False
        self.closes = []  # (code, reason)
        self.faults = []

    @classmethod
    @contextlib.asynccontextmanager
    async def on(cls, node, campaign, cluster=None):
        async with client.websocket(node) as socket:
            follower = cls(socket, campaign, await socket.subscribe(campaign["id"]), cluster)
            if not cluster:
                yield follower
                return
            wandering = asyncio.create_task(follower._wander(node.environment["TUMULTE_NODE_NAME"]))
            try:
                yield follower
            finally:
                wandering.cancel()
                await asyncio.gather(wandering, return_exceptions=True)

    async def _wander(self, name):
        async with contextlib.AsyncExitStack() as stack:
            while True:
                old = self.socket
                await asyncio.wait([old.reader])
                self.read()
                self.closes.append(old.closed)
                while self.socket is old:
                    node = await ready_node(self.cluster, self.cluster.nodes[name])
                    try:
                        socket = await stack.enter_async_context(client.websocket(node))
                        after = {"epoch": self.position[0], "seq": self.position[1]}
                        self._take(await socket.subscribe(self.campaign["id"], after))
                        self.socket = socket
                    except (OSError, EOFError, TimeoutError, client.WebSocketException):
                        await election.pause(0.05)
                async with old.changed:
                    old.changed.notify_all()

    def read(self):
        """Takes in everything that has arrived."""
        arrived, self.socket.inbox[:] = list(self.socket.inbox), []
        for message in arrived:
            if message.get("op") in ("event", "subscribed") and message.get("campaign") == self.campaign["id"]:
                self._take(message)
        return self

    def _take(self, message):
        here = client.position(message)
        if here < self.position or (message["op"] == "event" and here == self.position):
            self.faults.append(f"the position went from {self.position} to {here}: {message}")
        self.position = here
        if message["op"] == "subscribed":
            if not message["recovered"]:
                self.resyncs += 1
                self.may_skip = True
                self.poll = message["poll"] or self.poll
            return
        data = message["data"]
        match message["event"]:
            case "poll:start":
                self.started.append(data)
                self.poll = data
            case "poll:end":
                self.ended.append(data)
                self.poll = data
            case "poll:countdown":
                self.countdown.append((here[0], data["secondsLeft"]))
            case "poll:update":
                self.updates += 1
                if data["totalVotes"] < self.poll["totalVotes"]:
                    self.faults.append(f"the votes fell from {self.poll['totalVotes']}: {message}")
                self.poll = self.poll | data
            case "signal" if data["name"] == "number":
                if data["data"] <= self.number or data["data"] > self.number + 1 and not self.may_skip:
                    self.faults.append(f"signal {data['data']} came after {self.number}")
                self.number, self.may_skip = data["data"], False

    async def sees(self, condition, what, seconds=nodes.HANG_SECONDS):
        """Waits until what has arrived meets a condition; the connection must live on, or another take its place."""

        async def met():
            socket = None
            while socket is not self.socket:
                socket = self.socket

                def is_over():
                    is_lost = socket.closed and not self.cluster
                    return socket is not self.socket or is_lost or condition(self.read())

                async with socket.changed:
                    await socket.changed.wait_for(is_over)

        try:
            await limited(met(), seconds)
        except TimeoutError:
            raise AssertionError(
                f"a subscriber did not see {what}; it is at {self.position}, number {self.number}: {self.poll}"
            ) from None
        assert self.cluster or not self.socket.closed, f"a subscriber's connection closed with {self.socket.closed}"
        assert not self.faults, self.faults[:5]


async def follow(stack, cluster, names, voting, leaves=""):
    """A subscriber of every election on each of these nodes; where a node `leaves`, its own go on at another."""
    return [
        await stack.enter_async_context(
            Follower.on(
                cluster.nodes[name], {"id": election.poll["campaignId"]}, cluster if name in leaves else None
            )
        )
        for name in names
        for election in voting.elections
    ]


async def all_see_the_tally(followers, reader, voting):
    """Every subscriber has got as far as the tally that a node shows."""
    for election in voting.elections:
        tally = await client.read_poll(reader, election.poll)
        for follower in followers:
            if follower.campaign["id"] == election.poll["campaignId"]:
                await follower.sees(lambda f: f.poll["votes"] == tally["votes"], f"the tally {tally['votes']}")


class Numbers:
    """Sends signals with the numbers 1, 2, 3… to the subscribers of some campaigns, from a node that stays."""

    def __init__(self, node, campaigns):
        self.node = node
        self.last = dict.fromkeys(campaigns, 0)  # the last number that was acknowledged
        self.errors = collections.Counter()
        self.stopping = False

    async def __aenter__(self):
        self.tasks = [asyncio.create_task(self._send(campaign)) for campaign in self.last]
        return self

    async def __aexit__(self, *_):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _send(self, campaign):
        async with client.websocket(self.node) as socket:
            number = 1
            while not self.stopping:
                reply = await socket.ask(op="signal", campaign=campaign, name="number", data=number)
                if reply["op"] == "ack":
                    self.last[campaign] = number
                else:
                    self.errors[f"{reply['code']}: {reply['message']}"] += 1
                # What was refused was not sent; of what has no known outcome the number must not come twice.
                if reply["op"] == "ack" or reply["code"] in election.UNKNOWN_OUTCOME:
                    number += 1
                await election.pause(NUMBER_SECONDS)

    async def close(self, followers):
        """Waits until every subscriber has seen the last number."""
        self.stopping = True
        await asyncio.gather(*self.tasks)
        for follower in followers:
            last = self.last[follower.campaign["id"]]
            await follower.sees(lambda f: f.number == last, f"the signal {last}")


@contextlib.asynccontextmanager
async def undisturbed(cluster, home, on="abc", leaves="", breath=0):
    """What is done inside disturbs nobody: on every node of `on` people vote in polls of the node `home` and follow
    them. Every request is answered, every tally exact, no signal missing; who was on a node that `leaves` resumes at
    another."""
    stays = [name for name in on if name not in leaves]
    voting = await Voting.held(cluster, home, on, leaves, breath)
    numbers = Numbers(cluster.nodes[stays[0]], [election.poll["campaignId"] for election in voting.elections])
    async with contextlib.AsyncExitStack() as stack:
        followers = await follow(stack, cluster, on, voting, leaves)
        async with voting, numbers:
            await voting.more()
            yield voting
            await voting.more()
            await numbers.close(followers)
            await voting.close(cluster.nodes[stays[-1]])
        voting.nothing_failed()
        assert not numbers.errors, numbers.errors
        await all_see_the_tally(followers, cluster.nodes[stays[0]], voting)
        assert not any(follower.resyncs for follower in followers), "followers had to start over"
        closes = {close for follower in followers for close in follower.closes}
        assert all(code == 1001 and reason.startswith("drain; retry=") for code, reason in closes), closes
        told = sum(len(follower.closes) for follower in followers if follower.cluster)
        assert told == sum(1 for follower in followers if follower.cluster), "not all were told to leave once"
    voting.numbers = sum(numbers.last.values())


class ShortPoll:
    """A poll on the node `home` that its timer ends while something happens there."""

    seconds = 20

    @classmethod
    async def launched(cls, stack, cluster, home, on="abc", leaves=""):
        self = cls()
        self.cluster = cluster
        campaign = await cluster.campaign_of(home)
        self.followers = [
            await stack.enter_async_context(
                Follower.on(cluster.nodes[name], campaign, cluster if name in leaves else None)
            )
            for name in on
        ]
        self.poll = await client.poll(cluster.nodes[home], campaign, type="UNIQUE", durationSeconds=cls.seconds)
        self.votes = [0, 0, 0]
        for number, name in enumerate(on):
            await self.vote(name, number % 3, f"early {name}")
        self.epoch = (await cluster.owner(campaign))[1]
        return self

    async def vote(self, name, option, voter):
        reply = await client.vote(self.cluster.nodes[name], self.poll, option=option, voter=voter)
        # On a very slow machine it may be over.
        assert reply.status == 200 or reply.code == "poll_closed", reply.body
        self.votes[option] += reply.status == 200

    async def ends(self, names):
        """It ends by its timer under the next owner, after a countdown that goes on there, with every vote."""
        for follower in self.followers:
            await follower.sees(lambda f: f.ended, "the end of the short poll")
            (end,) = follower.ended
            assert end["status"] == "ENDED" and end["votes"] == self.votes, (end, self.votes)
            assert end["endsAt"] == self.poll["endsAt"] and end["endedAt"] >= end["endsAt"], end
            assert follower.position[0] > self.epoch, f"it ended at {follower.position}, before anything happened"
            left = [seconds for _, seconds in follower.countdown]
            assert left == sorted(set(left), reverse=True), f"the countdown was {left}"
            after = [seconds for epoch, seconds in follower.countdown if epoch > self.epoch]
            assert after, f"no countdown under the next owner: {follower.countdown}"
        final = await self.cluster.tallies(self.poll, names)
        assert final["status"] == "ENDED" and final["votes"] == self.votes, final
