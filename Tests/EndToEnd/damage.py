"""Bits flip in the store while the node is down: what is damaged is named and refused, the rest is served, and the
command that the log prints brings the slot back."""

import re
import sqlite3

import client
import http1
import suite
from node import Node, command, until
from suite import test


def change(node, sql, *values):
    with sqlite3.connect(node.data / "journal.db") as store:
        store.execute(sql, values)
    store.close()


def rows(node, sql):
    store = sqlite3.connect(node.data / "journal.db")
    try:
        return store.execute(sql).fetchall()
    finally:
        store.close()


def flipped(blob, at):
    changed = bytearray(blob)
    changed[at] ^= 1
    return bytes(changed)


async def two_campaigns(node):
    """One that will be damaged, one that will not."""
    first, second = await client.campaign(node, "Damaged"), await client.campaign(node, "Whole")
    polls = [await client.poll(node, each, type="UNIQUE", durationSeconds=1800) for each in (first, second)]
    for number in range(30):
        for poll in polls:
            await client.vote(node, poll, option=number % 2, voter=f"v{number}")
    return polls


@test
async def a_flipped_bit_in_a_row_is_named_refused_and_repaired():
    async with Node() as node:
        while True:
            damaged, whole = await two_campaigns(node)
            node.kill()
            content = rows(node, "SELECT id, payload, campaigns FROM journal ORDER BY id")
            mine, others = (
                [row for row in content if bytes.fromhex(poll["campaignId"].replace("-", "")) in row[2]]
                for poll in (damaged, whole)
            )
            if mine[0][0] >> 48 != others[0][0] >> 48:
                break
            await node.start()  # both fell into one slot, of 4,096: two others then
        # The last rows: what came before them can be kept.
        victim = mine[-5]
        change(node, "UPDATE journal SET payload = ? WHERE id = ?", flipped(victim[1], len(victim[1]) // 2), victim[0])
        await node.start()
        reply = await http1.request(node, "GET", f"/v1/campaigns/{damaged['campaignId']}")
        assert reply.status == 503 and reply.code == "unavailable", (reply.status, reply.body)
        assert (await client.read_poll(node, whole))["totalVotes"] == 30
        text = node.log.read_text()
        assert damaged["campaignId"] in text and "does not match its checksum" in text, text
        line = re.search(r"tumulte (repair --slot \d+ --keep-through \d+)", text)
        assert line, text
        node.kill()
        status, out, err = await command(*line.group(1).split(), TUMULTE_DATA=node.data)
        assert status == 0 and "5 rows" in out, (status, out, err)
        await node.start()
        left = await client.read_poll(node, damaged)
        assert left["totalVotes"] == 25, left
        assert (await client.read_poll(node, whole))["totalVotes"] == 30
        await client.vote(node, damaged, option=1, voter="after the repair")
        node.kill()
        await node.start()
        assert (await client.read_poll(node, damaged))["totalVotes"] == 26


@test
async def a_damaged_or_missing_entry_of_the_bookkeeping_is_rebuilt():
    async with Node() as node:
        polls = await two_campaigns(node)
        ids = [bytes.fromhex(poll["campaignId"].replace("-", "")) for poll in polls]
        node.kill()
        # Without its checksum such an entry would hide every row of the campaign.
        change(node, "UPDATE journal_campaign SET last = last - 1 WHERE campaign = ?", ids[0])
        change(node, "DELETE FROM journal_campaign WHERE campaign = ?", ids[1])
        change(node, "UPDATE slot_lease SET epoch = epoch + (1 << 40) WHERE slot IN (SELECT id >> 48 FROM journal)")
        await node.start()
        for poll in polls:
            assert (await client.read_poll(node, poll))["totalVotes"] == 30
            await client.vote(node, poll, option=0, voter="after the damage")
        text = node.log.read_text()
        for poll in polls:
            assert f"the entry of campaign {poll['campaignId']} in journal_campaign was damaged" in text, text
        assert "epoch in slot_lease was damaged" in text, text
        node.kill()
        before = len(node.log.read_text())
        await node.start()
        for poll in polls:
            assert (await client.read_poll(node, poll))["totalVotes"] == 31
        assert "was damaged" not in node.log.read_text()[before:]


@test
async def a_flipped_bit_in_the_newest_snapshot_costs_nothing():
    async with Node() as node:
        campaign = await client.campaign(node)
        for number in range(3):
            poll = await client.poll(node, campaign, type="UNIQUE")
            for voter in range(5):
                await client.vote(node, poll, option=voter % 2, voter=f"v{voter}")
            await client.cancel(node, poll)
            # A closed poll is written as a snapshot; the newest two are kept.
            await until(lambda: snapshots(node, number), what="the snapshot of a closed poll")
        node.kill()
        kept = rows(node, "SELECT lsn FROM snapshot WHERE complete = 1 ORDER BY lsn")
        assert len(kept) == 2, kept
        part = rows(node, f"SELECT state FROM snapshot_part WHERE lsn = {kept[-1][0]} AND part = 0")[0][0]
        change(node, "UPDATE snapshot_part SET state = ? WHERE lsn = ? AND part = 0",
               flipped(part, len(part) // 2), kept[-1][0])  # fmt: skip
        await node.start()
        polls = (await http1.request(node, "GET", f"/v1/campaigns/{campaign['id']}/polls")).data
        assert [each["totalVotes"] for each in polls] == [5, 5, 5], polls
        assert "is damaged" in node.log.read_text()


async def snapshots(node, more_than):
    reply = await http1.request(node, "GET", "/metrics")
    return float(re.search(rb"^tumulte_journal_snapshots_total ([0-9.]+)", reply.body, re.M).group(1)) > more_than


if __name__ == "__main__":
    suite.run(suite.parser("damage").parse_args().only)
