"""The page of the cluster, and one poll in two windows on two nodes."""

import asyncio
import json
import signal

from access_tests import contrast_faults, tree
from cluster import Cluster
from harness import LOST, equal, no_problems, test, true
from page_tests import SHOWN, click_option, votes_are

# The colour in the middle of a slot's cell: red, green, blue, opacity.
CELLS = """((slots) => { const strip = document.querySelector('#strip'); const columns = Number(strip.dataset.columns);
    const size = strip.width / columns;
    const brush = new OffscreenCanvas(strip.width, strip.height).getContext('2d', { willReadFrequently: true });
    brush.drawImage(strip, 0, 0);
    const all = brush.getImageData(0, 0, strip.width, strip.height).data;
    return slots.map((slot) => { const x = Math.floor((slot % columns + .5) * size);
        const y = Math.floor((Math.floor(slot / columns) + .5) * size);
        return [...all.slice(4 * (y * strip.width + x), 4 * (y * strip.width + x) + 4)]; }); })"""
SWATCHES = """Object.fromEntries([...document.querySelectorAll('#nodes tr')].map((line) => [line.dataset.node,
    getComputedStyle(line.querySelector('.swatch')).backgroundColor.match(/\\d+/g).map(Number)]))"""


def row(node: str) -> str:
    return f'#nodes [data-node="{node}"]'


async def admin(scene, node, **options):
    page = await scene.browser.page(node.url + "/admin", **options)
    await page.until("document.querySelector('#connection').dataset.state === 'open'")
    return page


async def cells(page, slots=range(4096)) -> list[list[int]]:
    return await page.eval(f"{CELLS}({json.dumps(list(slots))})")


async def strip_shows(page, owners: list[str]) -> None:
    """Waits until each cell has the colour of its owner."""
    wanted = None
    for _ in range(600):
        colours = await page.eval(SWATCHES)
        found = await cells(page)
        wanted = [(*colours.get(owner, ()), 255) for owner in owners]
        if all(len(one) == 4 and max(map(abs, (a - b for a, b in zip(one, cell)))) <= 1
               for one, cell in zip(wanted, found)):
            return
        await asyncio.sleep(0.1)
    wrong = [slot for slot in range(4096) if tuple(found[slot]) != wanted[slot]]
    raise AssertionError(f"{len(wrong)} cells have another colour, as {wrong[:5]}")


def owners(placement: dict) -> list[str]:
    names = [node["name"] for node in placement["nodes"]]
    return [names[place] for place in placement["owners"]]


async def figures(page, node: str) -> list[str]:
    return await page.eval(
        f"[...document.querySelectorAll('{row(node)} td')].map((one) => one.textContent)")


async def choose(page, node: str) -> None:
    await page.click(f"{row(node)} .node")
    await page.until("document.querySelector('#what-if').checkVisibility()"
                     " && document.querySelector('#what-if-text').textContent.endsWith('would move.')")


async def confirmed(page, button: str, words: str) -> None:
    await page.click(button)
    await page.until("document.querySelector('#confirm').open")
    true(words in await page.text("#confirm-text"), await page.text("#confirm-text"))
    await page.click("#confirm-do")
    await page.until("!document.querySelector('#confirm').open")


@test
async def the_page_of_a_cluster_shows_what_is_and_what_would_be_and_drains_a_node(scene):
    if not scene.is_real:
        return
    async with Cluster(scene.binary) as cluster:
        calm = await cluster.calm("a")
        page = await admin(scene, cluster["a"])
        await strip_shows(page, owners(calm))
        equal(await page.eval("[...document.querySelectorAll('#nodes tr')].map((one) => one.dataset.node)"),
              [node["name"] for node in calm["nodes"]])
        for node in calm["nodes"]:
            found = await figures(page, node["name"])
            equal(found[:3], ["live", f"{node['slots']:,}", f"{node['cap']:,}"], node["name"])
            equal(found[4], "0", "campaigns")
        colours = await page.eval(SWATCHES)
        equal(len({tuple(one) for one in colours.values()}), 3, "colours")
        true("nothing is on its way" in await page.text("#summary"), await page.text("#summary"))

        # What if: nothing is done by looking.
        plan = await cluster["b"].api("GET", "/admin/placement/plan?drain=b")
        await choose(page, "b")
        equal(await page.text("#what-if-text"), f"{plan['count']:,} slots would move.")
        pale = {slot: cell for slot, cell in enumerate(await cells(page))}
        for move in plan["moves"]:
            cell = pale.pop(move["slot"])
            equal(cell, [*colours[move["to"]], 255], f"cell of slot {move['slot']}")
        true(all(cell[3] < 128 for cell in pale.values()), "what stays is pale")
        then = await page.eval("[...document.querySelectorAll('#what-if-rows tr')].map((one) => one.innerText)")
        equal(len(then), 3, "rows of the plan")
        await page.click("#what-if-kinds label:nth-of-type(2)")
        await page.until("document.querySelector('input[value=leave]').checked")
        equal(owners(await cluster.placement("c")), owners(calm), "nothing was done")
        await page.click("#what-if-close")
        await strip_shows(page, owners(calm))

        # Drained by button, as the plan said, seen by another window on another node.
        other = await admin(scene, cluster["c"])
        await confirmed(page, f"{row('b')} .act", "stays up without any")
        await page.until(f"document.querySelector('{row('b')} .state').textContent === 'drained'")
        expected = owners(calm)
        for move in plan["moves"]:
            expected[move["slot"]] = move["to"]
        for window in (page, other):
            await strip_shows(window, expected)
            equal((await figures(window, "b"))[1], "0", "slots of b")
        equal((await cluster["b"].headers("/health/ready"))[0], 503)
        equal(await page.text(f"{row('b')} .act"), "Take back")

        # And taken back, by the other window.
        await other.click(f"{row('b')} .node")
        await other.until("document.querySelector('#what-if-text').textContent.endsWith('would move.')")
        equal(await other.eval("document.querySelector('#what-if-kinds input').value"), "join")
        equal(await other.text("#what-if-do"), "Take b back…")
        await confirmed(other, "#what-if-do", "takes its share")
        back = await cluster.calm("a")
        for window in (page, other):
            await strip_shows(window, owners(back))
            no_problems(window)
        equal((await cluster["b"].headers("/health/ready"))[0], 200)


@test
async def the_page_of_a_cluster_finds_campaigns_and_tells_silent_nodes(scene):
    if not scene.is_real:
        return
    async with Cluster(scene.binary) as cluster:
        calm = await cluster.calm("b")
        campaign = await cluster["c"].campaign()
        poll = await cluster["c"].launch(campaign)
        page = await admin(scene, cluster["b"])
        await page.click("#where-id")
        await page.type("not an id")
        await page.key("Enter")
        await page.until("document.querySelector('#where-error').textContent.startsWith('A campaign id')")
        await page.eval("document.querySelector('#where-id').value = ''")
        await page.click("#where-id")
        await page.type(campaign)
        await page.key("Enter")
        await page.until("document.querySelector('#where-result').checkVisibility()")
        facts = await page.eval("""Object.fromEntries([...document.querySelectorAll('#where-result dt')].map((one) =>
            [one.textContent, one.nextElementSibling.textContent]))""")
        slot = int(facts["Slot"])
        equal(facts["Node"], owners(calm)[slot])
        equal([facts["Running poll"], facts["In memory"], facts["Pinned"]], [poll, "yes", "no"])
        true(facts["Why"] and facts["Rank"].endswith("of 3"), str(facts))
        equal(await page.text("#cell"), f"Slot {slot}: {facts['Node']}")

        # By keyboard and for those who do not see the strip.
        await page.tab_to("strip")
        await page.key("ArrowDown")
        await page.until(f"!document.querySelector('#cell').textContent.startsWith('Slot {slot}:')")
        nodes = await tree(page)
        strip = next(one for one in nodes if one["role"] == "image" and "4,096" in one["name"])
        for node in calm["nodes"]:
            true(f"{node['name']} has {node['slots']}" in strip["name"], strip["name"])
        true(any(one["role"] == "button" and one["name"] == "Drain a" for one in nodes), "a button's name")
        await page.tab_to("Drain a")
        await page.key("Enter")
        await page.until("document.querySelector('#confirm').open")
        equal(await page.focused(), "confirm-cancel", "focus in the question")
        await page.key("Enter")
        await page.until("!document.querySelector('#confirm').open")
        equal(await page.focused(), "Drain a", "focus after it")
        for dark in (False, True):
            await page.scheme(dark)
            await page.still()
            equal(await contrast_faults(page, dark), [], f"contrast, dark {dark}")
            await strip_shows(page, owners(calm))
        await choose(page, "a")
        equal(await contrast_faults(page, True), [], "contrast of a plan")
        await page.click("#what-if-close")
        for width in (320, 390, 768):
            await page.call("Emulation.setDeviceMetricsOverride", {
                "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600})
            await page.until("document.documentElement.scrollWidth <= innerWidth")
        await strip_shows(page, owners(calm))

        # A hidden window asks nothing; one that is seen again asks at once.
        asked = "performance.getEntriesByType('resource').filter((one) => one.name.includes('/admin/placement')).length"
        await page.eval("""Object.defineProperty(document, 'hidden', { configurable: true, get: () => globalThis.__hid });
            void (globalThis.__hid = true); void document.dispatchEvent(new Event('visibilitychange'))""")
        before = await page.eval(asked)
        await asyncio.sleep(2.5)
        true(await page.eval(asked) <= before + 1, "a hidden window asks on")
        # A node that stops says nothing; then it is dead, and its cells are taken over. The first is to be seen for a second
        # or two: so the page asks at once.
        cluster.signal(cluster["c"], signal.SIGSTOP)
        await page.eval("globalThis.__hid = false; void document.dispatchEvent(new Event('visibilitychange'))")
        await page.until(f"{asked} > {before}")
        await page.until(f"document.querySelector('{row('c')}')?.textContent.includes('no answer')")
        await page.until(f"!document.querySelector('{row('c')}')")
        await page.until("document.querySelector('#summary').textContent === '2 nodes, nothing is on its way'")
        await strip_shows(page, owners(await cluster.placement("a")))
        no_problems(page)
        # The node that the page asks dies: it says so, and goes on showing what it knows.
        await cluster["b"].kill()
        await page.until("document.querySelector('#connection').dataset.state === 'waiting'")
        await page.until("document.querySelector('#error').checkVisibility()")
        no_problems(page, LOST, "Failed to load resource")


@test
async def the_page_of_a_cluster_asks_for_the_admin_token_and_keeps_it_in_its_window(scene):
    if not scene.is_real:
        return
    secret = "an-admin-token-of-the-tests"
    async with Cluster(scene.binary, "ab", TUMULTE_ADMIN_TOKEN=secret) as cluster:
        calm = await cluster.calm("a", secret)
        page = await scene.browser.page(cluster["a"].url + "/admin")
        await page.until("document.querySelector('#token').open")
        true(not await page.eval("document.querySelector('#cluster').checkVisibility()"), "nothing is shown before")
        await page.type("a-wrong-token-of-the-tests")
        await page.key("Enter")
        await page.until("document.querySelector('#token').open"
                         " && document.querySelector('#token-text').textContent.includes('wrong')")
        await page.type(secret)
        await page.key("Enter")
        await page.until("document.querySelector('#connection').dataset.state === 'open'")
        await strip_shows(page, owners(calm))
        equal(await page.eval("localStorage.length"), 0, "what is kept beyond the window")
        await page.go(cluster["a"].url + "/admin")
        await page.until("document.querySelector('#connection').dataset.state === 'open'")
        # Another window does not have it.
        other = await scene.browser.page(cluster["a"].url + "/admin", context=page.context)
        await other.until("document.querySelector('#token').open")
        no_problems(page, "status of 40[13]")


@test
async def a_node_alone_says_so_on_the_page_of_the_cluster(scene):
    if not scene.is_real:
        return
    page = await scene.page("/admin")
    await page.until("document.querySelector('#alone').checkVisibility()")
    equal((await page.eval("document.querySelectorAll('#nodes tr').length")), 1)
    equal((await page.eval("document.querySelectorAll('.act:not([hidden])').length")), 0)
    status, headers, _ = await scene.server.headers("/admin")
    equal(status, 200)
    true("script-src 'self'" in headers["content-security-policy"], headers["content-security-policy"])
    no_problems(page)


@test
async def two_windows_on_two_nodes_show_one_poll_alike(scene):
    if not scene.is_real:
        return
    async with Cluster(scene.binary) as cluster:
        await cluster.calm("a")
        # It may live on either of the two nodes, or on the third.
        for owner in "abc":
            campaign = await cluster["a"].campaign()
            while (await cluster["a"].api("GET", f"/admin/placement/campaigns/{campaign}"))["node"] != owner:
                campaign = await cluster["a"].campaign()
            poll = await cluster["b"].launch(campaign, options=("Left", "Right", "Wait"))
            windows = []
            for name in "ab":
                page = await scene.browser.page(f"{cluster[name].url}/?campaign={campaign}&host=1")
                await page.until("document.querySelector('#connection').dataset.state === 'open'")
                windows.append(page)
            overlay = await scene.browser.page(f"{cluster['b'].url}/overlay/{campaign}", width=720, height=420)
            await overlay.until(SHOWN)
            await click_option(windows[0], 0)
            await click_option(windows[1], 2)
            for page in windows:
                await votes_are(page, [1, 0, 1])
            await asyncio.gather(*(cluster["abc"[number % 3]].vote(campaign, poll, 1) for number in range(30)))
            await click_option(windows[1], 0)
            for page in windows:
                await votes_are(page, [2, 30, 0])
                equal(await page.text("#total"), "32 votes")
            shown = "[...document.querySelectorAll('.percent')].map((one) => one.textContent)"
            equal(await windows[0].eval(shown), await windows[1].eval(shown), "percentages")
            await overlay.until("document.querySelector('#total').textContent.includes('32')")
            await windows[0].click("#cancel")
            for page in windows:
                await page.until("document.querySelector('#live-status').textContent === 'Cancelled'")
                await votes_are(page, [2, 30, 0])
                no_problems(page)
            results = [await cluster[name].api("GET", f"/v1/campaigns/{campaign}/polls/{poll}") for name in "abc"]
            equal([(one["status"], one["votes"]) for one in results], [("CANCELLED", [2, 30, 0])] * 3)
            if owner == "c":
                # One that ends by the clock, at the same moment for both.
                poll = await cluster["a"].launch(campaign, options=("Now", "Later"), seconds=20)
                for page, option in zip(windows, (0, 1)):
                    await click_option(page, option)
                for page in windows:
                    await page.until("document.querySelector('#live-status').textContent === 'Ended'")
                    await votes_are(page, [1, 1])
                equal(await windows[0].text("#result"), await windows[1].text("#result"), "the result")
            for page in (*windows, overlay):
                no_problems(page)
