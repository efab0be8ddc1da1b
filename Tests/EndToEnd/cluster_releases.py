"""Two builds of the program serve one cluster beside each other: an update node by node, and the way back.

The older build is $TUMULTE_OLDER_BINARY; `scripts/build-older.sh` makes it.
"""

import os

import client
import node as nodes
import suite
from cluster_nodes import Cluster, undisturbed
from suite import test, within

OLDER = os.environ.get("TUMULTE_OLDER_BINARY")


class Releases(Cluster):
    """A cluster that begins with the older build."""

    binary = OLDER

    async def schema(self):
        return (await self.sql("SELECT version FROM schema_version"))[0]

    async def update(self, name):
        """A node of the build that is due takes the place of the one of its name, while people vote on the others."""
        others = "".join(other for other in self.names if other != name)
        async with undisturbed(self, name, on=others) as voting:
            await self.replace(name, voting.more)
        return voting.acks


@test
@within(600)
async def nodes_of_another_build_replace_each_other_while_people_vote():
    if not OLDER:
        raise suite.Skipped("TUMULTE_OLDER_BINARY names no older build")
    async with Releases() as cluster:
        poll = await client.poll(cluster.a, await client.campaign(cluster.a), type="UNIQUE", durationSeconds=1800)
        voters = 0

        async def everyone_votes():
            nonlocal voters
            for node in cluster.all():
                reply = await client.vote(node, poll, option=0, voter=f"voter-{voters}")
                assert reply.status == 200 and reply.data["status"] == "counted", reply.body
                voters += 1

        acks = 0
        schema = await cluster.schema()
        status, out, err = await nodes.command("migrate", DATABASE_URL=cluster.url)
        assert status == 0, out + err
        await everyone_votes()
        cluster.binary = nodes.BINARY
        for name in cluster.names:
            acks += await cluster.update(name)
            await everyone_votes()
        if await cluster.schema() == schema:
            cluster.binary = OLDER
            for name in cluster.names:
                acks += await cluster.update(name)
                await everyone_votes()
        else:
            print("the schema has changed: there is no way back to the older build")
        tally = await cluster.tallies(poll)
        assert tally["votes"][0] == voters, (tally, voters)
        print(f"figure: two builds beside each other: {acks} votes while nodes replaced each other, none failed")


if __name__ == "__main__":
    suite.run(suite.parser("cluster_releases").parse_args().only, parallel=1)
