"""Ten minutes of votes, polls, snapshots and trimming on PostgreSQL: its tables must not grow with the time."""

import asyncio
import itertools
import json
import time

import client
import database
import http1
import suite
from node import BINARY, Node, until
from suite import test

CAMPAIGNS = 4
BATCH = 100
VOTERS = 20_000
TABLES = ("journal", "snapshot", "slot_lease", "node_lease", "ownership_log", "removed_campaign")
# What a table may have grown between the first sample and the last, beside the same again.
SLACK_BYTES = 16 << 20


async def campaigning(node, number, ends):
    """Poll after poll in one campaign, each with as many votes as get through."""
    campaign = await client.campaign(node, name=f"Campaign {number}")
    numbers = itertools.count()
    cast = 0
    async with http1.Connection(node) as connection:
        while time.monotonic() < ends:
            poll = await client.poll(node, campaign, type="UNIQUE", durationSeconds=30)
            path = f"/v1/campaigns/{campaign['id']}/polls/{poll['id']}/votes"
            while True:
                some = itertools.islice(numbers, BATCH)
                votes = [{"option": n % 3, "voter": f"viewer-{n % VOTERS}"} for n in some]
                await connection.send(http1.encode("POST", path, node, body=json.dumps({"votes": votes}).encode()))
                reply = await connection.response()
                if reply.status != 200 or any("status" not in one for one in reply.data["results"]):
                    break
                cast += BATCH

            async def has_ended():
                return (await client.read_poll(node, poll))["status"] == "ENDED"

            await until(has_ended, what="the poll to end")
    return cast


def sample(url):
    """Bytes of each table with its indexes, and the dead rows in it."""
    names = ", ".join(f"'{name}'" for name in TABLES)
    rows = database.sql(
        url,
        "SELECT relname || ' ' || pg_total_relation_size(relid) || ' ' || n_dead_tup FROM pg_stat_user_tables"
        f" WHERE relname IN ({names})",
    )
    return {name: (int(size), int(dead)) for name, size, dead in (row.split() for row in rows)}


@test
@suite.within(3600)
async def the_tables_do_not_grow_with_time():
    url = database.create(BINARY)
    async with Node(DATABASE_URL=url) as node:
        began = time.monotonic()
        ends = began + ARGUMENTS.minutes * 60
        running = [asyncio.create_task(campaigning(node, number, ends)) for number in range(CAMPAIGNS)]
        samples = []
        # The first sample comes late enough for every kind of row to be there and to have been cleaned up once.
        for part in range(4, 11):
            due = began + ARGUMENTS.minutes * 6 * part
            await until(lambda: time.monotonic() >= due or any(t.done() for t in running), 3600, "a sample to be due")
            samples.append(await asyncio.to_thread(sample, url))
        votes = sum(await asyncio.gather(*running))
        first, last = samples[0], samples[-1]
        for name in TABLES:
            most = max(one[name][0] for one in samples)
            assert most <= 2 * first[name][0] + SLACK_BYTES, (name, [one[name] for one in samples])
        sizes = ", ".join(f"{name} {first[name][0] >> 10:,} → {last[name][0] >> 10:,} KiB" for name in TABLES[:4])
        print(
            f"figure: {votes:,} votes in {ARGUMENTS.minutes:g} minutes on PostgreSQL; tables after 40 % of the time and at"
            f" its end: {sizes}"
        )


if __name__ == "__main__":
    arguments = suite.parser("bloat")
    arguments.add_argument("--minutes", type=float, default=10)
    ARGUMENTS = arguments.parse_args()
    suite.run(ARGUMENTS.only)
