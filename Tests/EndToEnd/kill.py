"""The node dies by SIGKILL again and again while clients vote; nothing that was acknowledged may be gone or doubled.

Voters over WebSocket and HTTP vote in a UNIQUE and a STANDARD poll (with keys). What got no answer is sent again.
After each restart the recovered tally must be compatible with what the voters know; at the end, when every vote is
known, it must be equal to it.
"""

import asyncio
import random

import election
import suite
from model import StandardModel, UniqueModel
from node import Node
from suite import test

async def murder(rounds, seed):
    dice = random.Random(seed)
    async with Node() as node:
        run, elections, clients = await election.hold(node, seed)
        ended = asyncio.gather(*clients)  # a client that fails ends the run
        try:
            for number in range(rounds):
                await run.reach(run.acks + dice.randrange(50, 1500), ended)
                node.kill()
                run.shut()
                await run.everyone_outside(len(clients), ended)
                await node.start()
                faults = run.faults + await election.check(node, elections)
                assert not faults, f"after kill {number + 1}: {faults[:10]}"
                await run.unlock()
            await run.reach(run.acks + 200, ended)
        except BaseException:
            for task in clients:
                task.cancel()
            await asyncio.gather(ended, *clients, return_exceptions=True)
            raise
        await election.close(run, elections, clients, ended)
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
