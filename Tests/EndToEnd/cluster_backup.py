"""A cluster is put back to a backup of its database: what the backup holds is there, and clients whose places are of a
time that never was start over."""

import asyncio
import pathlib
import shlex
import signal
import subprocess

import client
import database
import suite
from cluster_nodes import Cluster, Follower
from suite import test, within

arguments = suite.parser("cluster backup")
ARGUMENTS = arguments.parse_args()


def documented(program, url, dump):
    """Runs the command of deploy/README.md that calls this program, on the database `url` and not in a container."""
    lines = (database.ROOT / "deploy" / "README.md").read_text().splitlines()
    (line,) = (line for line in lines if f" {program} " in line)
    command = line[line.index(f"{program} ") :]
    assert command.count("tumulte.dump") == 1 and " -U tumulte " in command, command
    command = command.replace("tumulte.dump", shlex.quote(str(dump))).replace(" -U tumulte ", " ", 1)
    if program == "pg_restore":
        assert " -d tumulte " in command, command
        command = command.replace(" -d tumulte ", " ", 1)
        command = command.replace(f"{program} ", f"{program} -d {shlex.quote(url)} ", 1)
    else:
        assert " tumulte >" in command, command
        command = command.replace(" tumulte >", f" {shlex.quote(url)} >", 1)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stderr, (command, done.stderr)


async def ballots(cluster, poll, first, count, option):
    replies = await asyncio.gather(
        *(
            client.vote(cluster.all()[number % 3], poll, option=option, voter=f"voter-{number}")
            for number in range(first, first + count)
        )
    )
    assert all(reply.status == 200 for reply in replies), [reply.body for reply in replies if reply.status != 200][:3]


async def stop(cluster):
    for node in cluster.all():
        node.signal(signal.SIGTERM)
    for node in cluster.all():
        assert await node.ended() == 0, node.log_tail()


@test
@within(180)
async def a_cluster_comes_back_from_a_backup_and_clients_start_over():
    async with Cluster() as cluster:
        kept = await client.poll(cluster.a, await client.campaign(cluster.a), type="UNIQUE", durationSeconds=1800)
        ended = await client.poll(cluster.b, await client.campaign(cluster.b), type="UNIQUE", durationSeconds=1800)
        await ballots(cluster, kept, 0, 60, option=0)
        await ballots(cluster, ended, 0, 30, option=2)
        dump = pathlib.Path(cluster.a.folder) / "tumulte.dump"
        # A dump is a picture of one moment, so it may be taken while people vote.
        await asyncio.to_thread(documented, "pg_dump", cluster.url, dump)

        await ballots(cluster, kept, 60, 40, option=1)
        assert (await client.cancel(cluster.c, ended)).status == 200
        forgotten = await client.campaign(cluster.c, name="After the backup")
        places = {}
        for poll in (kept, ended):
            async with Follower.on(cluster.b, {"id": poll["campaignId"]}) as follower:
                places[poll["campaignId"]] = {"epoch": follower.position[0], "seq": follower.position[1]}

        await stop(cluster)
        await asyncio.to_thread(documented, "pg_restore", cluster.url, dump)
        await asyncio.gather(*(node.start() for node in cluster.all()))
        await cluster.settled()

        # The backup holds sixty votes of one poll, and the other still runs.
        tally = await cluster.tallies(kept)
        assert tally["votes"] == [60, 0, 0] and tally["status"] == "RUNNING", tally
        tally = await cluster.tallies(ended)
        assert tally["votes"] == [0, 0, 30] and tally["status"] == "RUNNING", tally
        missing = await client.http1.request(cluster.a, "GET", f"/v1/campaigns/{forgotten['id']}")
        assert missing.status == 404, missing.body
        for node in cluster.all():
            for poll, votes in ((kept, [60, 0, 0]), (ended, [0, 0, 30])):
                campaign = poll["campaignId"]
                async with client.websocket(node) as socket:
                    answer = await socket.subscribe(campaign, after=places[campaign])
                    assert answer["recovered"] is False, answer
                    assert answer["poll"]["votes"] == votes and answer["poll"]["status"] == "RUNNING", answer
                    # Positions go on above every place that a client may remember.
                    assert answer["epoch"] > places[campaign]["epoch"], (answer, places[campaign])
        # Voters of the time that never was vote again, those of the backup are remembered.
        await ballots(cluster, kept, 60, 40, option=1)
        again = await client.vote(cluster.b, kept, option=0, voter="voter-3")
        assert again.data["status"] == "same", again.body
        assert (await cluster.tallies(kept))["votes"] == [60, 40, 0]
        for poll in (kept, ended):
            verdict = await client.verify(cluster.c, poll["campaignId"])
            assert verdict["ok"], verdict
        print("figure: a cluster put back to a backup serves it, and clients with later places start over")


if __name__ == "__main__":
    suite.run(ARGUMENTS.only, parallel=1)
