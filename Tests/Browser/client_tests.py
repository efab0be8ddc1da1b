"""The client module against the stand-in node: everything that goes wrong between a client and its server.

Each test has a node of its own. The client runs in a bare page; times are shortened where a test waits for them.
"""

import asyncio
import functools
import json
import time

from fakenode import FakeNode
from harness import equal, test, true

# New connections come quickly. A client gives up only after times that no slow machine reaches: a test that waits for
# it to give up shortens just that one.
QUICK = {"first": 60, "longest": 240, "jitter": 0, "silence": 120_000, "reply": 60_000, "connect": 60_000,
         "command": 120_000}
HANG_SECONDS = 60


class Bench:
    """A page with the client in it (`client`), which writes down everything that it is told (`log`)."""

    def __init__(self, node: FakeNode, page):
        self.node, self.page = node, page
        self.campaign = node.campaign()

    async def open(self, timing: dict | None = QUICK, subscribe=True, **options) -> None:
        settings = json.dumps({**({"timing": timing} if timing else {}), **options})
        await self.page.eval(f"""(async () => {{
            const {{ Tumulte }} = await import("/tumulte.js");
            globalThis.log = [];
            globalThis.client = new Tumulte({settings});
            for (const name of ["state", "unauthorized", "error"]) client.on(name, (detail) =>
                log.push([name, detail.state ?? detail.code ?? String(detail), detail]));
            globalThis.follow = (campaign) => client.subscribe(campaign, {{
                change: (poll, meta) => log.push(["change", poll, meta]),
                stale: (stale) => log.push(["stale", stale]),
                subscribed: (data) => log.push(["subscribed", data.recovered]),
                signal: (data) => log.push(["signal", data]),
                error: (error) => log.push(["refused", error.code]),
            }});
        }})()""")
        if subscribe:
            await self.page.eval(f"void (globalThis.sub = follow('{self.campaign}'))")
        await self.page.eval("client.connect()")

    async def until(self, expression: str, seconds: float = HANG_SECONDS):
        return await self.page.until(expression, seconds)

    async def live(self, count: int = 1, seconds: float = HANG_SECONDS):
        """Waits until the client is greeted on its `count`-th connection."""
        async with asyncio.timeout(seconds):
            while len(self.node.connections) < count:
                await asyncio.sleep(0.01)
        await self.until("client.state === 'open'")
        return self.node.connections[count - 1]

    def start_vote(self, poll: dict, option: int = 0, **more):
        """Votes without waiting: the outcome lands in `outcome`."""
        vote = json.dumps({"campaign": self.campaign, "poll": poll["id"], "option": option, **more})
        return self.page.eval(f"""void (globalThis.outcome = null, client.vote({vote}).then(
            (value) => {{ outcome = value; }},
            (error) => {{ outcome = {{ code: error.code, unknown: error.unknown }}; }}))""")

    async def outcome(self, seconds: float = HANG_SECONDS):
        return await self.until("outcome", seconds)

    async def votes(self, wanted: list[int], seconds: float = HANG_SECONDS):
        await self.until(f"JSON.stringify(sub.poll?.votes) === '{json.dumps(wanted).replace(' ', '')}'", seconds)


def bench_test(function):
    @functools.wraps(function)
    async def run(scene):
        node = await FakeNode().start()
        try:
            await function(Bench(node, await scene.browser.page(node.url + "/blank")))
        finally:
            await node.stop()
    return test(run)


@bench_test
async def the_greeting_carries_every_subscription(bench):
    second = bench.node.campaign()
    await bench.open(subscribe=False)
    await bench.page.eval(f"(client.close(), follow('{bench.campaign}'), follow('{second}'), client.connect())&&0")
    await bench.until("log.filter((one) => one[0] === 'subscribed').length === 2")
    hello = bench.node.connections[-1].received
    equal([one["op"] for one in hello], ["hello"], "messages of the client")
    equal({one["campaign"] for one in hello[0]["subscriptions"]}, {bench.campaign, second})


@bench_test
async def a_subscription_made_while_greeting_is_not_lost(bench):
    second = bench.node.campaign()
    bench.node.held_hellos = []
    await bench.open()
    async with asyncio.timeout(HANG_SECONDS):
        while not bench.node.held_hellos:
            await asyncio.sleep(0.01)
    await bench.page.eval(f"void (globalThis.two = follow('{second}'))")
    bench.node.release()
    await bench.until("two.position && sub.position")


@bench_test
async def a_subscription_given_up_before_its_answer_is_no_error(bench):
    second = bench.node.campaign()
    await bench.open()
    connection = await bench.live()
    refusal = {"code": "conflict", "message": "the subscription was given up before its answer"}
    bench.node.subscribe_errors = [refusal, refusal]
    # The first is given up for good, the second is followed again at once.
    await bench.page.eval(f"void follow('{second}').close()")
    await bench.page.eval(f"void (follow('{second}').close(), globalThis.two = follow('{second}'))")
    await bench.until("two.position")
    equal([one["op"] for one in connection.received][1:], ["subscribe", "unsubscribe"] * 2 + ["subscribe"])
    equal(await bench.page.eval("log.filter((one) => one[0] === 'error' || one[0] === 'refused')"), [])


@bench_test
async def the_poll_follows_its_events(bench):
    await bench.open()
    await bench.live()
    poll = bench.node.launch(bench.campaign)
    bench.node.add_votes(bench.campaign, [3, 1])
    await bench.votes([3, 1])
    bench.node.seq += 1
    bench.node.emit(bench.campaign, "poll:countdown", {"id": poll["id"], "secondsLeft": 30})
    await bench.until("sub.poll.secondsLeft === 30")
    bench.node.end(bench.campaign)
    await bench.until("sub.poll.status === 'ENDED'")
    equal(await bench.page.eval("sub.poll.winners"), [0])


@bench_test
async def what_is_out_of_order_is_dropped(bench):
    await bench.open()
    await bench.live()
    poll = bench.node.launch(bench.campaign)
    bench.node.add_votes(bench.campaign, [2, 0])
    old = (bench.node.epoch, bench.node.seq)
    bench.node.add_votes(bench.campaign, [2, 0])
    stale = {**bench.node.tally(poll), "votes": [2, 0]}
    bench.node.emit(bench.campaign, "poll:update", stale, position=old)
    bench.node.emit(bench.campaign, "poll:update", stale, position=(bench.node.epoch - 1, 10**6))
    bench.node.emit(bench.campaign, "poll:update", stale, position=(bench.node.epoch, bench.node.seq))
    bench.node.add_votes(bench.campaign, [1, 0])
    await bench.votes([5, 0])
    seen = await bench.page.eval("log.filter((one) => one[0] === 'change' && one[1]).map((one) => one[1].votes[0])")
    equal(seen, sorted(seen), "the votes shown, in order")
    equal(await bench.page.eval("sub.position"), {"epoch": bench.node.epoch, "seq": bench.node.seq})


@bench_test
async def a_broken_connection_resumes_every_subscription_where_it_was(bench):
    bench.node.launch(bench.campaign)
    bench.node.add_votes(bench.campaign, [1, 1])
    await bench.open()
    first = await bench.live()
    await bench.votes([1, 1])
    first.drop()
    second = await bench.live(2)
    equal(second.received[0]["subscriptions"],
          [{"campaign": bench.campaign, "after": {"epoch": bench.node.epoch, "seq": bench.node.seq}}])
    await bench.until("log.some((one) => one[0] === 'subscribed' && one[1] === true)")
    equal(await bench.page.eval("log.filter((one) => one[0] === 'stale').map((one) => one[1])"), [False, True, False])
    equal(await bench.page.eval("sub.poll.votes"), [1, 1])


@bench_test
async def a_lost_place_replaces_the_state(bench):
    bench.node.launch(bench.campaign)
    await bench.open()
    connection = await bench.live()
    await bench.until("sub.poll")
    bench.node.epoch += 1
    bench.node.seq = 1
    bench.node.add_votes(bench.campaign, [7, 2], quiet=True)
    bench.node._subscribe(connection, bench.campaign, None)
    await bench.votes([7, 2])
    equal(await bench.page.eval("sub.position.epoch"), bench.node.epoch)


@bench_test
async def a_snapshot_behind_what_was_seen_changes_nothing_and_is_flagged(bench):
    bench.node.launch(bench.campaign)
    bench.node.add_votes(bench.campaign, [5, 0])
    await bench.open()
    connection = await bench.live()
    await bench.votes([5, 0])
    poll = {**bench.node.campaigns[bench.campaign]["polls"][0], "votes": [1, 0]}
    connection.send({"op": "subscribed", "campaign": bench.campaign, "epoch": bench.node.epoch - 1, "seq": 3,
                     "recovered": False, "poll": poll})
    await bench.until("sub.stale")
    equal(await bench.page.eval("sub.poll.votes"), [5, 0])
    bench.node.add_votes(bench.campaign, [1, 0])
    await bench.votes([6, 0])
    equal(await bench.page.eval("sub.stale"), False)


@bench_test
async def a_vote_whose_connection_breaks_is_sent_again_under_its_key_and_counts_once(bench):
    poll = bench.node.launch(bench.campaign, kind="STANDARD")
    await bench.open()
    await bench.live()
    bench.node.mute_votes = 3
    for option in (0, 0, 1):
        await bench.start_vote(poll, option)
    equal((await bench.outcome())["status"], "duplicate")
    await bench.votes([2, 1])
    async with asyncio.timeout(HANG_SECONDS):
        while len(bench.node.voted) < 6:
            await asyncio.sleep(0.01)
    keys = [vote["key"] for vote in bench.node.voted]
    equal(keys[:3], keys[3:], "the keys, sent twice in the same order")
    true(all(len(key) == 32 and key.isalnum() for key in keys), f"keys are bare hexadecimal: {keys}")
    equal(len(set(keys)), 3)


@bench_test
async def a_vote_cast_without_a_connection_waits_for_one(bench):
    poll = bench.node.launch(bench.campaign)
    await bench.open()
    connection = await bench.live()
    # Cast by the page itself the moment that the connection is gone: from here the moment could be missed.
    vote = json.dumps({"campaign": bench.campaign, "poll": poll["id"], "option": 1})
    await bench.page.eval(f"""void (globalThis.outcome = null, client.on("state", ({{ state }}) => {{
        if (state === "waiting") client.vote({vote}).then((value) => {{ outcome = value; }}); }}))""")
    connection.drop()
    equal((await bench.outcome())["status"], "counted")
    true("vote" not in [one["op"] for one in connection.received], "it waited for another connection")


@bench_test
async def a_vote_that_may_be_tried_again_is_and_one_that_may_not_is_refused(bench):
    poll = bench.node.launch(bench.campaign)
    await bench.open()
    await bench.live()
    bench.node.vote_error = {"code": "rate_limited", "message": "slowly", "retryAfterMs": 200}
    began = time.monotonic()
    await bench.start_vote(poll)
    equal((await bench.outcome())["status"], "counted")
    true(time.monotonic() - began >= 0.2, "the server's pause was kept")
    bench.node.end(bench.campaign)
    await bench.start_vote(poll)
    equal(await bench.outcome(), {"code": "poll_closed", "unknown": False})


@bench_test
async def a_repeat_never_undoes_a_newer_choice(bench):
    poll = bench.node.launch(bench.campaign)
    await bench.open()
    await bench.live()
    bench.node.vote_error = {"code": "overloaded", "message": "later", "retryAfterMs": 6000}
    await bench.start_vote(poll, 0, voter="mira")
    await bench.page.eval("void (globalThis.older = null)")
    newer = json.dumps({"campaign": bench.campaign, "poll": poll["id"], "option": 1, "voter": "mira"})
    equal((await bench.page.eval(f"client.vote({newer})"))["status"], "counted")
    equal((await bench.outcome())["code"], "disconnected")
    equal([vote["option"] for vote in bench.node.voted], [1])
    await bench.votes([0, 1])


@bench_test
async def without_an_answer_a_vote_ends_as_unknown(bench):
    poll = bench.node.launch(bench.campaign)
    await bench.open({**QUICK, "reply": 300, "command": 1500})
    await bench.live()
    bench.node.silent = True
    await bench.start_vote(poll)
    equal(await bench.outcome(), {"code": "timeout", "unknown": True})
    keys = {one["key"] for one in bench.node.connections[0].received if one["op"] == "vote"}
    equal(len(keys), 1, "keys used")


@bench_test
async def the_first_new_connection_comes_after_about_a_second(bench):
    await bench.open(None)
    connection = await bench.live()
    connection.drop()
    began = time.monotonic()
    await bench.live(2)
    gap = time.monotonic() - began
    announced = await bench.page.eval("log.find((one) => one[1] === 'waiting')[2].retryInMs")
    true(500 <= announced <= 1500, f"announced {announced} ms")
    true(gap >= announced / 1000 - 0.05, f"reconnected after {gap:.2f} s, announced {announced} ms")


@bench_test
async def the_wait_doubles_up_to_its_limit(bench):
    bench.node.refuse_hello = (1011, "no")
    await bench.open({**QUICK, "first": 100, "longest": 400})
    async with asyncio.timeout(HANG_SECONDS):
        while len(bench.node.connections) < 6:
            await asyncio.sleep(0.01)
    opened = [one.opened for one in bench.node.connections]
    announced = await bench.page.eval(
        "log.filter((one) => one[1] === 'waiting').map((one) => one[2].retryInMs).slice(0, 5)")
    equal(announced, [100, 200, 400, 400, 400])
    for index, wait in enumerate(announced):
        gap = opened[index + 1] - opened[index]
        true(gap >= wait / 1000 - 0.02, f"gap {index} was {gap:.3f} s, announced {wait} ms")


@bench_test
async def the_jitter_stays_within_its_bounds_and_is_not_constant(bench):
    bench.node.refuse_hello = (1011, "no")
    await bench.open({**QUICK, "first": 60, "longest": 60, "jitter": 40})
    await bench.until("log.filter((one) => one[1] === 'waiting').length >= 8")
    waits = await bench.page.eval("log.filter((one) => one[1] === 'waiting').map((one) => one[2].retryInMs)")
    true(all(20 <= wait <= 100 for wait in waits), f"waits {waits}")
    true(len(set(waits)) > 1, f"waits {waits}")


@bench_test
async def a_greeting_ends_the_doubling_but_not_while_the_server_is_pressed(bench):
    # A connection that lived longer than the longest wait counts as one that worked.
    await bench.open({**QUICK, "longest": 60_000})
    waits = "log.filter((one) => one[1] === 'waiting').map((one) => one[2].retryInMs)"
    for number in (1, 2, 3):
        (await bench.live(number)).drop()
        await bench.live(number + 1)
    equal(await bench.page.eval(waits), [60, 60, 60], "after connections that worked")
    for number in (4, 5, 6):
        (await bench.live(number)).close(4503, "unavailable")
        await bench.live(number + 1)
    equal(await bench.page.eval(waits), [60, 60, 60, 120, 240, 480], "while the server sends its clients away")


@bench_test
async def a_subscription_that_fails_for_now_is_asked_for_again(bench):
    bench.node.launch(bench.campaign)
    bench.node.subscribe_errors = [{"code": "unavailable", "message": "later", "retryAfterMs": 150},
                                   {"code": "overloaded", "message": "later"}]
    await bench.open()
    connection = await bench.live()
    await bench.until("sub.poll && !sub.stale")
    equal([one["op"] for one in connection.received], ["hello", "subscribe", "subscribe"])
    equal(await bench.page.eval("log.filter((one) => one[0] === 'refused').length"), 0)


@bench_test
async def a_post_that_failed_on_the_way_is_repeated_under_its_idempotency_key(bench):
    await bench.open(subscribe=False)
    bench.node.http_faults = [0, 503]
    made = await bench.page.eval("client.request('POST', '/v1/campaigns', { name: 'Again' })")
    equal(made["name"], "Again")
    keys = [headers["idempotency-key"] for method, _, headers in bench.node.requests if method == "POST"]
    true(len(keys) >= 3 and len(set(keys)) == 1, f"keys {keys}")
    bench.node.http_faults = [503] * 3
    error = await bench.page.eval("""client.request('POST', '/v1/campaigns', { name: 'Never' }).catch((error) =>
        ({ code: error.code, status: error.status, message: error.message, requestId: error.requestId }))""")
    equal(error, {"code": "unavailable", "status": 503, "message": "Later.", "requestId": "r1"})


@bench_test
async def a_draining_server_says_when_to_come_back(bench):
    await bench.open()
    connection = await bench.live()
    connection.close(1001, "drain; retry=700")
    began = time.monotonic()
    await bench.live(2)
    gap = time.monotonic() - began
    true(gap >= 0.6, f"reconnected after {gap:.2f} s")
    equal(await bench.page.eval("log.find((one) => one[1] === 'waiting')[2].retryInMs"), 700)


@bench_test
async def a_bad_token_stops_the_client_until_it_gets_another(bench):
    bench.node.refuse_hello = (4401, "token expired")
    await bench.open(token="old")
    await bench.until("log.some((one) => one[0] === 'unauthorized')")
    await asyncio.sleep(0.5)
    equal(len(bench.node.connections), 1, "connections")
    equal(await bench.page.eval("client.state"), "closed")
    equal(bench.node.connections[0].received[0]["token"], "old")
    bench.node.refuse_hello = None
    await bench.page.eval("(client.setToken('new'), client.connect())")
    second = await bench.live(2)
    equal(second.received[0]["token"], "new")


@bench_test
async def a_message_that_the_server_cannot_read_stops_the_client(bench):
    await bench.open()
    connection = await bench.live()
    connection.close(4400, "bad message")
    await bench.until("client.state === 'closed'")
    await asyncio.sleep(0.3)
    equal(len(bench.node.connections), 1, "connections")
    equal(await bench.page.eval("log.find((one) => one[0] === 'error')[1]"), "bad_request")


@bench_test
async def every_other_close_is_followed_by_a_new_connection(bench):
    await bench.open()
    for number, code in enumerate((4408, 4410, 4429, 4503, 1009, 1011, 1001), 1):
        (await bench.live(number)).close(code, "")
        await bench.live(number + 1)
    equal(await bench.page.eval("client.state"), "open")


@bench_test
async def a_silent_server_is_asked_and_then_left(bench):
    await bench.open({**QUICK, "silence": 400, "reply": 300, "connect": 3000})
    first = await bench.live()
    bench.node.silent = True
    async with asyncio.timeout(HANG_SECONDS):
        while len(bench.node.connections) < 2:
            await asyncio.sleep(0.01)
    gap = time.monotonic() - first.opened
    true("ping" in [one["op"] for one in first.received], "it asked before it left")
    true(gap >= 0.6, f"it left after {gap:.2f} s")
    bench.node.silent = False
    await bench.until("client.state === 'open'")


@bench_test
async def a_quiet_but_living_server_is_kept(bench):
    await bench.open({**QUICK, "silence": 400, "reply": 5000})
    connection = await bench.live()
    async with asyncio.timeout(HANG_SECONDS):
        while [one["op"] for one in connection.received].count("ping") < 2:
            await asyncio.sleep(0.02)
    equal(len(bench.node.connections), 1, "connections")


@bench_test
async def the_clock_follows_the_server(bench):
    bench.node.clock_ahead = 3600
    bench.node.launch(bench.campaign, seconds=1800)
    await bench.open()
    await bench.live()
    offset = await bench.page.eval("client.now() - Date.now()")
    # As exact as the greeting was quick.
    true(abs(offset - 3_600_000) < 30_000, f"offset {offset} ms")
    left = await bench.page.until("""sub.poll && import('/tumulte.js').then((all) =>
        all.secondsLeft(sub.poll, client.now()))""")
    true(1700 <= left <= 1800, f"{left} s left")


@bench_test
async def an_unknown_campaign_is_refused_and_not_asked_for_again(bench):
    unknown = "01900000-0000-7000-8000-000000000000"
    await bench.open()
    first = await bench.live()
    await bench.page.eval(f"void follow('{unknown}')")
    await bench.until("log.some((one) => one[0] === 'refused' && one[1] === 'not_found')")
    first.drop()
    second = await bench.live(2)
    equal([one["campaign"] for one in second.received[0]["subscriptions"]], [bench.campaign])


@bench_test
async def several_followers_of_a_campaign_share_one_subscription(bench):
    bench.node.launch(bench.campaign)
    await bench.open()
    connection = await bench.live()
    await bench.until("sub.poll")
    await bench.page.eval(f"void (globalThis.second = follow('{bench.campaign}'))")
    await bench.until("log.filter((one) => one[0] === 'change' && one[1]).length === 2")
    equal([one["op"] for one in connection.received], ["hello"])
    await bench.page.eval("sub.close()")
    await bench.page.eval("second.close()")
    async with asyncio.timeout(HANG_SECONDS):
        while connection.subscriptions:
            await asyncio.sleep(0.01)
    equal([one["op"] for one in connection.received], ["hello", "unsubscribe"])


@bench_test
async def a_handler_that_throws_stops_nothing(bench):
    await bench.open()
    await bench.live()
    await bench.page.eval(f"void client.subscribe('{bench.campaign}', {{ change: () => {{ throw Error('mine') }} }})")
    bench.node.launch(bench.campaign)
    await bench.until("sub.poll")
    true(await bench.page.eval("log.some((one) => one[0] === 'error' && one[1].includes('mine'))"), "it was reported")


@bench_test
async def a_signal_reaches_the_subscribers_and_is_not_repeated(bench):
    await bench.open()
    connection = await bench.live()
    equal((await bench.page.eval(f"client.signal('{bench.campaign}', 'dice', {{ rolled: 20 }})"))["seq"],
          bench.node.seq)
    await bench.until("log.some((one) => one[0] === 'signal' && one[1].data.rolled === 20)")
    bench.node.silent = True
    await bench.page.eval(f"""void (globalThis.lost = null, client.signal('{bench.campaign}', 'dice')
        .catch((error) => {{ lost = [error.code, error.unknown]; }}))""")
    async with asyncio.timeout(HANG_SECONDS):
        while len(connection.received) < 3:
            await asyncio.sleep(0.01)
    connection.drop()
    bench.node.silent = False
    equal(await bench.until("lost"), ["disconnected", True])
    second = await bench.live(2)
    true("signal" not in [one["op"] for one in second.received], "it was not sent again")


@bench_test
async def closing_refuses_what_waits_and_stays_closed(bench):
    poll = bench.node.launch(bench.campaign)
    await bench.open()
    await bench.live()
    bench.node.silent = True
    await bench.start_vote(poll)
    await bench.page.eval("client.close()")
    equal(await bench.outcome(), {"code": "closed", "unknown": True})
    await asyncio.sleep(0.3)
    equal(len(bench.node.connections), 1, "connections")


@bench_test
async def the_client_works_in_a_module_worker(bench):
    bench.node.launch(bench.campaign)
    bench.node.extra["/worker.js"] = ("text/javascript", f"""
        import {{ Tumulte }} from "/tumulte.js";
        const client = new Tumulte();
        client.subscribe("{bench.campaign}", {{ change: (poll) => poll && postMessage(poll.question) }});
        client.connect();""")
    equal(await bench.page.eval("""new Promise((resolve, reject) => {
        const worker = new Worker("/worker.js", { type: "module" });
        worker.onmessage = (event) => resolve(event.data);
        worker.onerror = reject;
    })"""), "Which way?")
