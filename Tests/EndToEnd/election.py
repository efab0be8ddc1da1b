"""An election under stress: clients that vote over WebSocket and HTTP, know what they were told, and send again what got
no answer; and the checks that compare the node's tallies with what they know.
"""

import asyncio
import collections
import itertools
import random
import time

import client
from model import StandardModel, UniqueModel
from node import until
from timing import limited

OPTIONS = 3
WINDOW = 8
RETRYABLE = {"unavailable", "overloaded", "timeout", "rate_limited", "internal"}
UNKNOWN_OUTCOME = {"timeout", "internal"}
DRAINED = 1001  # the close code


async def pause(seconds):
    """How long a client leaves a node alone that refused everything."""
    end = time.monotonic() + seconds
    await until(lambda: time.monotonic() >= end)


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
        self.silent = 0
        self.untaken = 0  # votes that crossed the goodbye of a node that drained
        self.closes = collections.Counter()  # (code, reason) → connections that the node closed
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
                    if socket.closed:
                        self.closes[socket.closed] += 1
            except (OSError, EOFError, TimeoutError, client.WebSocketException):
                pass

    async def socket_turn(self, socket, election, pending, last):
        """Sends a window of votes and judges the replies; returns what must be sent again."""
        while len(pending) < WINDOW and not self.stopping:
            pending.append((*election.draw(), False))
        replies, arrived = [], []
        for identity, fields, _ in pending:
            election.model.sent(identity, fields["option"])
            poll = election.poll
            replies.append(socket.post(op="vote", campaign=poll["campaignId"], poll=poll["id"], **fields))
            replies[-1].add_done_callback(arrived.append)
        await asyncio.wait(replies, timeout=60)
        if any(reply.done() and reply.exception() for reply in replies):
            await asyncio.wait([socket.reader], timeout=60)
        left = []
        # Positions rise in the order of the answers, whatever the order of the votes.
        places = {reply: place for place, reply in enumerate(arrived)}
        judged = sorted(zip(pending, replies), key=lambda pair: places.get(pair[1], len(replies)))
        for (identity, fields, before), reply in judged:
            if reply.done() and reply.exception() and socket.closed and socket.closed[0] == DRAINED:
                # Whoever drains answers what it has taken before it says so.
                self.untaken += 1
                election.model.refused(identity, before)
                left.append((identity, fields, before))
            elif not reply.done() or reply.exception():
                self.silent += not reply.done() and not socket.closed
                self.unknowns += 1
                left.append((identity, fields, True))
            elif not await self.answered(election, identity, reply.result(), before, last):
                left.append((identity, fields, before or reply.result()["code"] in UNKNOWN_OUTCOME))
        await self.rest(left)
        return left

    async def rest(self, refused):
        """As clients do: who was refused everything comes back a moment later."""
        if len(refused) >= WINDOW:
            await pause(0.05)

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
        except ConnectionRefusedError:
            # Nothing was sent.
            for identity, _, before in batch:
                election.model.refused(identity, before)
            await pause(0.05)
            return batch
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
        # They arrive together: each must stand no earlier than what was known before, whatever their order.
        known = dict(last)
        for (identity, fields, before), reply in zip(batch, results):
            seen = dict(known)
            if not await self.answered(election, identity, reply, before, seen):
                left.append((identity, fields, before or reply["error"]["code"] in UNKNOWN_OUTCOME))
            for campaign, position in seen.items():
                last[campaign] = max(position, last.get(campaign, (0, 0)))
        if len(left) == len(batch):
            await pause(0.05)
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


async def hold(node, seed=1, clients=(4, 2)):
    """Two polls, UNIQUE and STANDARD, and the clients that vote in them: (run, elections, client tasks)."""
    dice = random.Random(seed)
    polls = [
        await client.poll(node, await client.campaign(node, f"Election {kind}"), type=kind, durationSeconds=1800)
        for kind in ("UNIQUE", "STANDARD")
    ]
    elections = [Election(poll, poll["type"] == "UNIQUE", dice.random()) for poll in polls]
    run = Campaigning(node, elections)
    tasks = [
        asyncio.create_task(kind(election))
        for election in elections
        for kind in [run.socket_client] * clients[0] + [run.http_client] * clients[1]
    ]
    return run, elections, tasks


async def close(run, elections, tasks, ended):
    """Lets every vote become known, then compares everything, the journal's replay included."""
    node = run.node
    run.stopping = True
    try:
        await limited(ended, 180)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(ended, *tasks, return_exceptions=True)
    faults = run.faults + await check(node, elections, exact=True)
    assert not faults, faults[:10]
    for election in elections:
        verdict = await client.verify(node, election.poll["campaignId"])
        assert verdict["ok"] and verdict["liveHash"] == verdict["replayHash"], verdict
