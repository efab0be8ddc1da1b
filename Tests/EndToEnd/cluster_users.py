"""A thousand people on three nodes for minutes, and a thousand requests at one moment: not one error, no vote lost or
counted twice."""

import asyncio
import collections
import contextlib
import random
import time

import client
import http1
import suite
from cluster_nodes import Cluster
from node import until
from suite import test

OPTIONS = 3
CAMPAIGNS = 20
HOSTS = 6

arguments = suite.parser("cluster users")
arguments.add_argument("--users", type=int, default=1000)
arguments.add_argument("--seconds", type=float, default=300)
ARGUMENTS = arguments.parse_args()


class Figures:
    def __init__(self):
        self.answers = collections.Counter()
        self.errors = collections.Counter()
        self.times = []

    def note(self, what, reply, started):
        """Counts a reply of a WebSocket, a dictionary, or of HTTP."""
        self.times.append(time.monotonic() - started)
        if isinstance(reply, dict):
            error = reply.get("code") if reply.get("op") == "error" else None
        else:
            error = None if reply.status < 400 else f"{reply.status} {reply.body[:200]!r}"
        if error:
            self.errors[f"{what}: {error}"] += 1
        else:
            self.answers[what] += 1

    def line(self):
        times = sorted(self.times)
        return (
            f"{sum(self.answers.values()):,} answers ({dict(self.answers)}), p50 {times[len(times) // 2] * 1000:.1f} ms,"
            f" p99 {times[int(len(times) * 0.99)] * 1000:.1f} ms, {sum(self.errors.values())} errors"
        )


async def rest(seconds):
    """How long a person looks at the screen."""
    end = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, end.set)
    await end.wait()


async def person(number, cluster, polls, models, ends, figures):
    """Comes, watches, votes and changes the mind, goes, and comes back, perhaps to another node."""
    dice = random.Random(number)
    index = number % len(polls)
    poll, model = polls[index], models[index]
    voter = f"person-{number}"
    await rest(dice.random() * 10)
    while time.monotonic() < ends:
        node = dice.choice(cluster.all())
        leaves = time.monotonic() + dice.uniform(20, 90)
        async with client.websocket(node) as socket:
            started = time.monotonic()
            figures.note("subscribe", await socket.subscribe(poll["campaignId"]), started)
            while time.monotonic() < min(leaves, ends):
                option = dice.randrange(OPTIONS)
                started = time.monotonic()
                if dice.random() < 0.8:
                    reply = await socket.vote(poll, option, voter=voter)
                else:
                    reply = await client.vote(node, poll, option=option, voter=voter)
                figures.note("vote", reply, started)
                model[voter] = option
                socket.inbox.clear()
                await rest(dice.uniform(2, 10))
            assert not socket.closed, f"a person's connection closed with {socket.closed}"


async def host(number, cluster, ends, figures):
    """Makes a campaign, holds a poll, reads, and cleans up, each step on another node."""
    dice = random.Random(f"host {number}")

    async def step(what, method, path, body=None):
        started = time.monotonic()
        reply = await http1.request(dice.choice(cluster.all()), method, path, body)
        figures.note(what, reply, started)
        return reply

    while time.monotonic() < ends:
        made = await step("create", "POST", "/v1/campaigns", {"name": f"Evening {number}"})
        path = f"/v1/campaigns/{made.data['id']}"
        for _ in range(2):
            launched = await step(
                "launch", "POST", f"{path}/polls",
                {"question": "Which?", "options": ["a", "b"], "durationSeconds": 600},
            )  # fmt: skip
            poll = f"{path}/polls/{launched.data['id']}"
            await asyncio.gather(
                *(step("vote", "POST", f"{poll}/votes", {"option": n % 2, "voter": f"v{n}"}) for n in range(10))
            )
            await step("signal", "POST", f"{path}/signals", {"name": "dice", "data": {"n": 6}})
            await step("cancel", "POST", f"{poll}/cancel", {})
            read = await step("read", "GET", poll)
            assert read.data["votes"] == [5, 5] and read.data["status"] == "CANCELLED", read.data
        await step("history", "GET", f"{path}/polls?limit=10")
        await step("delete", "DELETE", path)
        await rest(1)


@test
@suite.within(3600)
async def a_thousand_people_vote_over_three_nodes_without_one_error():
    async with Cluster() as cluster:
        polls = []
        for number in range(CAMPAIGNS):
            node = cluster.all()[number % 3]
            campaign = await client.campaign(node, name=f"Show {number}")
            polls.append(await client.poll(node, campaign, type="UNIQUE", durationSeconds=1800))
        models = [{} for _ in polls]
        figures = Figures()
        ends = time.monotonic() + ARGUMENTS.seconds
        people = [person(number, cluster, polls, models, ends, figures) for number in range(ARGUMENTS.users)]
        hosts = [host(number, cluster, ends, figures) for number in range(HOSTS)]
        await asyncio.gather(*people, *hosts)
        assert not figures.errors, figures.errors.most_common(5)
        for poll, model in zip(polls, models):
            expected = [list(model.values()).count(option) for option in range(OPTIONS)]
            tally = await cluster.tallies(poll)
            assert tally["votes"] == expected, (tally["votes"], expected)
            verdict = await client.verify(cluster.a, poll["campaignId"])
            assert verdict["ok"], verdict
        print(f"figure: {ARGUMENTS.users:,} people and {HOSTS} hosts, {ARGUMENTS.seconds:g} s: {figures.line()}")


@test
@suite.within(600)
async def a_thousand_requests_at_once_over_three_nodes_are_all_answered():
    async with Cluster() as cluster, contextlib.AsyncExitStack() as stack:
        polls = []
        for number in range(CAMPAIGNS):
            campaign = await client.campaign(cluster.all()[number % 3])
            polls.append(await client.poll(cluster.all()[number % 3], campaign, type="UNIQUE"))
        lines = []
        for number in range(1000):
            lines.append(await stack.enter_async_context(http1.Connection(cluster.all()[number % 3])))
        figures = Figures()
        expected = [[0] * OPTIONS for _ in polls]

        async def ask(number, line):
            index = number % CAMPAIGNS
            poll = polls[index]
            path = f"/v1/campaigns/{poll['campaignId']}/polls/{poll['id']}"
            started = time.monotonic()
            if number % 4 == 0:
                await line.send(http1.encode("GET", path, line.node))
                return figures.note("read", await line.response(), started)
            if number % 4 == 1 and number % 3 == 0:
                await line.send(http1.encode("POST", "/v1/campaigns", line.node, body=b'{"name":"Another"}'))
                return figures.note("create", await line.response(), started)
            option = number % OPTIONS
            expected[index][option] += 1
            body = f'{{"option":{option},"voter":"at-once-{number}"}}'.encode()
            await line.send(http1.encode("POST", f"{path}/votes", line.node, body=body))
            figures.note("vote", await line.response(), started)

        await asyncio.gather(*(ask(number, line) for number, line in enumerate(lines)))
        assert not figures.errors, figures.errors.most_common(5)
        for poll, votes in zip(polls, expected):

            async def agrees():
                return (await cluster.tallies(poll))["votes"] == votes

            await until(agrees, what=f"the tally {votes} on every node")
        print(f"figure: a thousand requests at once: {figures.line()}")


if __name__ == "__main__":
    suite.run(ARGUMENTS.only, parallel=1)
