"""The node dies by SIGKILL again and again while clients vote; nothing that was acknowledged may be gone or doubled.

Voters over WebSocket and HTTP vote in a UNIQUE and a STANDARD poll (with keys). What got no answer is sent again.
After each restart the recovered tally must be compatible with what the voters know; at the end, when every vote is
known, it must be equal to it.
"""

import asyncio
import itertools
import random

import client
import suite
from model import StandardModel, UniqueModel
from node import Node
from suite import test

OPTIONS = 3
WINDOW = 8
RETRYABLE = {"unavailable", "overloaded", "timeout", "rate_limited", "internal"}
UNKNOWN_OUTCOME = {"timeout", "internal"}


class Election:
    """One poll, its model, and the votes that its clients draw."""

    def __init__(self, poll, unique, seed):
        self.poll = poll
        self.unique = unique
        self.model = UniqueModel(OPTIONS) if unique else StandardModel(OPTIONS)
        self.random = random.Random(seed)
        self.keys = itertools.count()
        self.busy = set()

    def draw(self):
        """A new vote: (identity in the model, message fields)."""
        option = self.random.randrange(OPTIONS)
        channel = self.random.choice([None, "north", "south"])
        fields = {"option": option}
        if self.unique:
            # Voters come back to change their minds, but never with two votes under way.
            voter = next(v for v in iter(lambda: f"voter-{self.random.randrange(4000)}", None) if v not in self.busy)
            self.busy.add(voter)
            return voter, fields | {"voter": voter} | ({"channel": "north"} if int(voter[6:]) % 2 else {})
        key = f"key-{next(self.keys)}"
        fields["key"] = key
        if channel:
            fields["channel"] = channel
        if self.random.random() < 0.5:
            fields["voter"] = f"fan-{self.random.randrange(100)}"
        return key, fields

    def done(self, identity):
        self.busy.discard(identity)


class Campaigning:
    """The clients of a run, and the door that keeps them out while the checker looks."""

    def __init__(self, node, elections):
        self.node = node
        self.elections = elections
        self.open = True
        self.stopping = False
        self.acks = 0
        self.unknowns = 0
        self.progress = asyncio.Condition()
        self.outside = 0
        self.faults = []

    async def answered(self, election, identity, reply, sent_before, last):
        """Judges one reply; returns whether the vote is settled. `last` is the client's newest ack position."""
        error = reply.get("error") if isinstance(reply.get("error"), dict) else None
        if reply.get("op") == "error":
            error = reply
        if error:
            if error["code"] not in RETRYABLE:
                self.faults.append(f"{identity} was refused: {error}")
            if error["code"] not in UNKNOWN_OUTCOME:
                election.model.refused(identity, sent_before)
            return False
        election.model.ack(identity, reply["status"], sent_before)
        election.done(identity)
        where = (reply["epoch"], reply["seq"])
        campaign = election.poll["campaignId"]
        if where < last.get(campaign, (0, 0)):
            self.faults.append(f"{identity}: the position fell from {last[campaign]} to {where}")
        last[campaign] = where
        async with self.progress:
            self.acks += 1
            self.progress.notify_all()
        return True

    async def reach(self, acks, ended):
        await self.until(lambda: self.acks >= acks, ended)

    async def everyone_outside(self, clients, ended):
        await self.until(lambda: self.outside == clients, ended)

    async def until(self, condition, ended):
        async def wait():
            async with self.progress:
                await self.progress.wait_for(condition)

        waiting = asyncio.create_task(wait())
        done, _ = await asyncio.wait([waiting, ended], timeout=180, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if ended in done:
            ended.result()
        assert waiting in done, f"no progress for 180 s: {self.acks} acks, {self.outside} clients outside"

    async def enter(self):
        """Waits outside while the door is shut. A node that died by itself ends the run."""
        async with self.progress:
            self.outside += 1
            self.progress.notify_all()
            await self.progress.wait_for(lambda: self.open)
            self.outside -= 1
        assert self.node.process.poll() is None, "the node died by itself"

    def shut(self):
        """Called in the same turn as the kill: no client sees a dead node behind an open door."""
        self.open = False

    async def unlock(self):
        async with self.progress:
            self.open = True
            self.progress.notify_all()

    async def socket_client(self, election):
        pending, last = [], {}  # pending: (identity, fields, sent before)
        while not self.stopping or pending:
            await self.enter()
            try:
                async with client.websocket(self.node) as socket:
                    while self.open and not socket.closed and (not self.stopping or pending):
                        pending = await self.socket_turn(socket, election, pending, last)
            except (OSError, EOFError, TimeoutError, client.WebSocketException):
                pass

    async def socket_turn(self, socket, election, pending, last):
        """Sends a window of votes and judges the replies; returns what must be sent again."""
        while len(pending) < WINDOW and not self.stopping:
            pending.append((*election.draw(), False))
        replies = []
        for identity, fields, _ in pending:
            election.model.sent(identity, fields["option"])
            poll = election.poll
            replies.append(socket.post(op="vote", campaign=poll["campaignId"], poll=poll["id"], **fields))
        await asyncio.wait(replies, timeout=60)
        left = []
        for (identity, fields, before), reply in zip(pending, replies):
            if not reply.done() or reply.exception():
                self.unknowns += 1
                left.append((identity, fields, True))
            elif not await self.answered(election, identity, reply.result(), before, last):
                left.append((identity, fields, before or reply.result()["code"] in UNKNOWN_OUTCOME))
        return left

    async def http_client(self, election):
        pending, last, size = [], {}, 1
        while not self.stopping or pending:
            await self.enter()
            size = 21 - size  # single votes and batches in turn
            while len(pending) < size and not self.stopping:
                pending.append((*election.draw(), False))
            batch, rest = pending[:size], pending[size:]
            pending = await self.http_turn(election, batch, last) + rest

    async def http_turn(self, election, batch, last):
        if not batch:
            return []
        for identity, fields, _ in batch:
            election.model.sent(identity, fields["option"])
        try:
            body = batch[0][1] if len(batch) == 1 else {"votes": [fields for _, fields, _ in batch]}
            answer = (await client.vote(self.node, election.poll, body)).json
        except (OSError, EOFError, TimeoutError, ValueError):
            self.unknowns += len(batch)
            return [(identity, fields, True) for identity, fields, _ in batch]
        if "error" in answer:
            results = [answer] * len(batch)
        elif len(batch) == 1:
            results = [answer["data"]]
        else:
            results = answer["data"]["results"]
            assert len(results) == len(batch), f"{len(batch)} votes got {len(results)} results"
        left = []
        for (identity, fields, before), reply in zip(batch, results):
            if not await self.answered(election, identity, reply, before, last):
                left.append((identity, fields, before or reply["error"]["code"] in UNKNOWN_OUTCOME))
        return left


async def check(node, elections, exact=False):
    faults = []
    for election in elections:
        poll = await client.read_poll(node, election.poll)
        kind = poll["type"]
        faults += [f"{kind}: {fault}" for fault in election.model.faults(poll["votes"], poll["totalVotes"])]
        model = election.model
        if exact and (model.attempt if election.unique else model.unknown):
            faults.append(f"{kind}: votes were left without an answer")
        for channel in poll["channels"]:
            if channel["totalVotes"] != sum(channel["votes"]):
                faults.append(f"{kind}: channel {channel['channel']} does not add up")
    return faults


async def murder(rounds, seed):
    dice = random.Random(seed)
    async with Node() as node:
        polls = [
            await client.poll(node, await client.campaign(node, f"Kill {kind}"), type=kind, durationSeconds=1800)
            for kind in ("UNIQUE", "STANDARD")
        ]
        elections = [Election(poll, poll["type"] == "UNIQUE", dice.random()) for poll in polls]
        run = Campaigning(node, elections)
        clients = [
            asyncio.create_task(kind(election))
            for election in elections
            for kind in [run.socket_client] * 4 + [run.http_client] * 2
        ]
        ended = asyncio.gather(*clients)  # a client that fails ends the run
        try:
            for number in range(rounds):
                await run.reach(run.acks + dice.randrange(50, 1500), ended)
                node.kill()
                run.shut()
                await run.everyone_outside(len(clients), ended)
                await node.start()
                faults = run.faults + await check(node, elections)
                assert not faults, f"after kill {number + 1}: {faults[:10]}"
                await run.unlock()
            await run.reach(run.acks + 200, ended)
            run.stopping = True
            await asyncio.wait_for(ended, 180)
        finally:
            for task in clients:
                task.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
        faults = run.faults + await check(node, elections, exact=True)
        assert not faults, faults[:10]
        for election in elections:
            verdict = await client.verify(node, election.poll["campaignId"])
            assert verdict["ok"] and verdict["liveHash"] == verdict["replayHash"], verdict
        assert run.unknowns > 0, "no kill caught a vote under way: the test proved nothing"
        print(
            f"figure: {rounds} SIGKILLs, seed {seed}: {run.acks} votes acknowledged, {run.unknowns} left unknown and"
            " sent again, all in the tally exactly once"
        )


@test
async def the_checker_finds_planted_lies():
    standard = StandardModel(2)
    for key, option in (("a", 0), ("b", 0), ("c", 1)):
        standard.sent(key, option)
        standard.ack(key, "counted", False)
    standard.sent("d", 1)
    assert not standard.faults([2, 1], 3), "the truth without the unknown vote"
    assert not standard.faults([2, 2], 4), "the truth with it"
    assert standard.faults([1, 1], 2), "a lost vote"
    assert standard.faults([3, 1], 4), "a vote counted twice"
    assert standard.faults([2, 3], 5), "more than was cast"
    assert standard.faults([1, 2], 3), "a vote that changed sides, the total right"
    assert standard.faults([2, 1], 4), "a total that does not add up"
    standard.sent("a", 0)
    standard.ack("a", "counted", True)
    assert standard.faults([2, 1], 3), "the same key counted again"

    unique = UniqueModel(2)
    for voter, option, status in (("v", 0, "counted"), ("v", 1, "moved"), ("w", 0, "counted")):
        unique.sent(voter, option)
        unique.ack(voter, status, False)
    assert not unique.faults([1, 1], 2), "the truth"
    assert unique.faults([2, 0], 2), "a move that was acknowledged and forgotten"
    assert unique.faults([1, 2], 3), "a voter who counts twice"
    assert unique.faults([1, 0], 1), "a voter who is lost"
    unique.sent("w", 1)
    assert not unique.faults([1, 1], 2) and not unique.faults([0, 2], 2), "an unknown move: both are possible"
    assert unique.faults([1, 2], 3), "both at once are not"
    unique.ack("w", "counted", False)
    assert unique.faults([0, 2], 2), "a move that was called new"


arguments = suite.parser("kill")
arguments.add_argument("--rounds", type=int, default=20)
arguments.add_argument("--seed", type=int, default=1)
ARGUMENTS = arguments.parse_args()


@test
@suite.within(30 + 30 * ARGUMENTS.rounds)
async def acknowledged_votes_survive_every_kill_exactly_once():
    await murder(ARGUMENTS.rounds, ARGUMENTS.seed)


if __name__ == "__main__":
    suite.run(ARGUMENTS.only)
