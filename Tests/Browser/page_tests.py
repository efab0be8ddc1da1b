"""The console and the overlay, as people use them: with the mouse, in two windows, across a crash of the node."""

import asyncio
import json

from harness import LOST, equal, no_problems, test, true

VOTES = "[...document.querySelectorAll('.option .count')].map((one) => parseInt(one.textContent))"
# A clock that a test moves by `__shift`, or stops at `__fixed`.
CLOCK = """(() => { const real = Date.now; globalThis.__shift = 0; globalThis.__fixed = null;
    Date.now = () => globalThis.__fixed ?? real.call(Date) + globalThis.__shift; })()"""


async def votes_are(page, wanted: list[int], seconds: float = 60) -> None:
    await page.until(f"JSON.stringify({VOTES}) === '{json.dumps(wanted).replace(' ', '')}'", seconds)


async def click_option(page, index: int) -> None:
    await page.until(f"document.querySelectorAll('.option button:not([hidden])').length > {index}")
    await page.click(f".option:nth-child({index + 1}) button")


async def console(scene, campaign: str, **options):
    page = await scene.page(f"/?campaign={campaign}&host=1", **options)
    await page.until("document.querySelector('#connection').dataset.state === 'open'")
    return page


async def overlay(scene, campaign: str, query="", **options):
    page = await scene.browser.page("about:blank", width=720, height=420, **options)
    await page.call("Page.addScriptToEvaluateOnNewDocument", {"source": CLOCK})
    await page.go(f"{scene.server.url}/overlay/{campaign}{query}")
    return page


SHOWN = "!document.querySelector('#overlay').hidden"


@test
async def a_campaign_is_created_opened_and_remembered(scene):
    page = await scene.page("/")
    await page.click("#create-name")
    await page.type("The Sunken Crown")
    await page.click("#create button[type=submit]")
    await page.until("document.querySelector('#campaign-title').textContent === 'The Sunken Crown'")
    campaign = await page.eval("new URLSearchParams(location.search).get('campaign')")
    equal(await page.eval("document.querySelector('#vote-url').value"), f"{scene.server.url}/?campaign={campaign}")
    equal(await page.eval("document.querySelector('#overlay-url').value"), f"{scene.server.url}/overlay/{campaign}")
    equal(await page.eval("document.activeElement.id"), "campaign-title", "focus after the change of view")

    await page.click(".brand")
    await page.until("document.querySelector('#remembered-list a')?.textContent === 'The Sunken Crown'")
    await page.click("#remembered-list a")
    await page.until("document.querySelector('#launch').checkVisibility()")
    await page.eval("history.back()")
    await page.until("document.querySelector('#home').checkVisibility()")
    await page.eval(f"document.querySelector('#open-id').value = '{campaign}'")
    await page.click("#open button")
    await page.until("document.querySelector('#launch').checkVisibility()")

    await page.go(scene.server.url + "/")
    await page.click("#remembered-list button")
    await page.until("document.querySelector('#remembered').hidden")
    no_problems(page)


@test
async def a_poll_is_launched_watched_and_cancelled(scene):
    campaign = await scene.server.campaign()
    page = await console(scene, campaign)
    await page.click("#question")
    await page.type("The bridge trembles. What now?")
    for index, option in enumerate(("Run across", "Cut the ropes", "Wait")):
        if index == 2:
            await page.click("#option-add")
        else:
            await page.click(f"#option-{index + 1}")
        await page.type(option)
    await page.click("[data-seconds='120']")
    await page.click("#launch-submit")
    await page.until("document.querySelector('#live-title').textContent.startsWith('The bridge')")
    equal(await page.eval("[...document.querySelectorAll('.option-name')].map((one) => one.textContent)"),
          ["Run across", "Cut the ropes", "Wait"])
    equal(await page.text("#live-status"), "Live")
    left = await page.until("document.querySelector('#countdown').textContent")
    minutes, seconds = map(int, left.split(":"))
    true(0 < 60 * minutes + seconds <= 120, f"countdown {left}")

    poll = await page.eval(f"fetch('/v1/campaigns/{campaign}').then((r) => r.json()).then((r) => r.data.runningPoll)")
    await scene.server.vote(campaign, poll, 1, channel="mistral")
    await scene.server.vote(campaign, poll, 1, channel="dice")
    await scene.server.vote(campaign, poll, 0, channel="dice")
    await votes_are(page, [1, 2, 0])
    equal(await page.text("#total"), "3 votes")
    await page.until("document.querySelectorAll('#channels-body tr').length === 2")
    last = "[...document.querySelectorAll('#channels-body tr:last-child td')].map((one) => one.textContent)"
    equal(await page.eval(last), ["1", "1", "0", "2"])

    await page.click("#cancel")
    await page.until("document.querySelector('#live-status').textContent === 'Cancelled'")
    await page.until("document.querySelector('#history-list b')?.textContent.startsWith('The bridge')")
    equal(await page.eval("document.querySelectorAll('.option button:not([hidden])').length"), 0)
    no_problems(page)


@test
async def two_windows_voting_see_the_same_tally(scene):
    campaign = await scene.server.campaign()
    await scene.server.launch(campaign)
    one = await scene.page(f"/?campaign={campaign}")
    two = await scene.page(f"/?campaign={campaign}")
    true(not await one.eval("document.querySelector('#launch').checkVisibility()"), "the vote page has no launch form")
    await click_option(one, 0)
    await click_option(two, 1)
    for page in (one, two):
        await votes_are(page, [1, 1])
        equal(await page.eval("[...document.querySelectorAll('.percent')].map((one) => one.textContent)"),
              ["50.0 %", "50.0 %"])
    await click_option(two, 0)
    for page in (one, two):
        await votes_are(page, [2, 0])
    await two.until("document.querySelector('#vote-status').textContent === 'Your vote moved: Left.'")
    equal(await two.eval("[...document.querySelectorAll('.option button')].map((b) => b.ariaPressed)"),
          ["true", "false"])
    no_problems(one)
    no_problems(two)


@test
async def two_windows_of_one_browser_are_two_voters(scene):
    campaign = await scene.server.campaign()
    await scene.server.launch(campaign)
    one = await scene.page(f"/?campaign={campaign}")
    two = await scene.page(f"/?campaign={campaign}", context=one.context)
    await click_option(one, 0)
    await click_option(two, 0)
    await votes_are(one, [2, 0])
    await votes_are(two, [2, 0])


@test
async def votes_go_on_after_the_node_was_killed_and_started_again(scene):
    campaign = await scene.server.campaign()
    await scene.server.launch(campaign, kind="STANDARD")
    one = await scene.page(f"/?campaign={campaign}")
    two = await scene.page(f"/?campaign={campaign}")
    watcher = await overlay(scene, campaign)
    await click_option(one, 0)
    await click_option(two, 1)
    for page in (one, two):
        await votes_are(page, [1, 1])
    await scene.server.kill()
    for page in (one, two):
        await page.until("!document.querySelector('#stale').hidden")
        await page.until("document.querySelector('#connection-text').textContent === 'Reconnecting…'")
        await votes_are(page, [1, 1])
    # A vote cast while nobody serves waits, and counts once.
    await click_option(one, 0)
    await scene.server.start()
    for page in (one, two):
        await page.until("document.querySelector('#connection').dataset.state === 'open'")
        await votes_are(page, [2, 1])
        await page.until("document.querySelector('#stale').hidden")
    await one.until("document.querySelector('#vote-status').textContent.startsWith('Your vote counts')")
    await click_option(two, 1)
    for page in (one, two):
        await votes_are(page, [2, 2])
    await watcher.until("document.querySelector('#total').textContent === '4 votes'")
    for page in (one, two, watcher):
        no_problems(page, LOST)


@test
async def what_the_server_refuses_stands_where_it_belongs(scene):
    campaign = await scene.server.campaign()
    page = await console(scene, campaign)
    await page.click("#launch-submit")
    await page.until("document.querySelector('#question-error').textContent === 'Write a question.'")
    equal(await page.eval("document.activeElement.id"), "question", "focus at the first fault")
    equal(await page.eval("document.querySelector('#question').getAttribute('aria-invalid')"), "true")

    async def fill(question: str, seconds: int) -> None:
        await page.eval(f"""(() => {{ const set = (id, value) => {{ document.getElementById(id).value = value; }};
            document.getElementById('question').removeAttribute('maxlength');
            set('question', {json.dumps(question)}); set('option-1', 'Left'); set('option-2', 'Right');
            set('duration', '{seconds}'); }})()""")

    await fill("Which way?", 5)
    await page.click("#launch-submit")
    await page.until("document.querySelector('#duration-error').textContent === 'A poll lasts 15 to 1800 seconds.'")
    await fill("x" * 46, 60)
    await page.click("#launch-submit")
    await page.until("document.querySelector('#question-error').textContent "
                     "|| document.querySelector('#launch .form-error').textContent")
    true((await page.text("#question-error")).startswith("This must be"), "the server's words, at their field")
    await scene.server.launch(campaign)
    await fill("Another?", 60)
    await page.click("#launch-submit")
    await page.until("document.querySelector('#launch .form-error').textContent")
    no_problems(page, r"status of 4\d\d")


@test
async def an_unknown_campaign_is_said_in_words(scene):
    page = await scene.page("/?campaign=01900000-0000-7000-8000-000000000000")
    await page.until("document.querySelector('#campaign-error').textContent === 'There is no campaign with this id.'")
    true(not await page.eval("document.querySelector('#workspace').checkVisibility()"), "nothing else is shown")
    await page.go(scene.server.url + "/?campaign=nonsense")
    await page.until("document.querySelector('#campaign-error').textContent.includes('no valid campaign id')")
    no_problems(page, r"status of 404")


@test
async def the_overlay_shows_start_votes_and_the_end_then_leaves(scene):
    campaign = await scene.server.campaign()
    page = await overlay(scene, campaign)
    await asyncio.sleep(0.3)
    true(not await page.eval(SHOWN), "nothing is shown without a poll")
    for element in ("document.documentElement", "document.body"):
        equal(await page.eval(f"getComputedStyle({element}).backgroundColor"), "rgba(0, 0, 0, 0)", "background")
    poll = await scene.server.launch(campaign, "Which way?", ("Left", "Right", "Back"))
    await page.until(SHOWN)
    equal(await page.text("#question"), "Which way?")
    true(":" in await page.text("#clock"), "the countdown runs")
    for option in (0, 2):
        await scene.server.vote(campaign, poll, option)
    await page.until("document.querySelector('#total').textContent === '2 votes'")
    equal(await page.eval("[...document.querySelectorAll('.percent')].map((one) => one.textContent)"),
          ["50.0 %", "0.0 %", "50.0 %"])
    await page.until("""(() => { const width = (index) => { const all = document.querySelectorAll('.fill');
        const fill = all[index].getBoundingClientRect(), track = all[index].parentElement.getBoundingClientRect();
        return Math.round((100 * (fill.right - track.left)) / track.width); };
        return width(0) === 50 && width(1) === 0 && width(2) === 50; })()""")
    ended = (await scene.server.cancel(campaign, poll))["endedAt"]
    await page.until("document.querySelector('#result').textContent === 'Cancelled'")
    await page.eval(f"__fixed = Date.parse('{ended}') + 19500")
    await asyncio.sleep(0.6)
    true(await page.eval(f"{SHOWN} && document.querySelector('.leaving') === null"), "still there at 19.5 s")
    # The page's idea of the server's time lags by as much as the greeting took: its clock is moved on in steps, each of
    # which it shows before the next. It leaves within 800 ms of its clock, and then is gone.
    await page.eval(f"""(async () => {{
        const step = () => new Promise((resolve) => setTimeout(resolve, 600));
        for (let late = 0; !document.querySelector('.leaving') && late < 60_000; late += 300) {{
            __fixed = Date.parse('{ended}') + 20_100 + late;
            await step();
        }}
    }})()""")
    true(await page.eval(f"{SHOWN} && document.querySelector('.leaving') !== null"), "it leaves before it is gone")
    await page.eval("__fixed += 900")
    await page.until(f"!({SHOWN})")
    no_problems(page)


@test
async def a_poll_that_ends_in_a_tie_names_both_winners_everywhere(scene):
    campaign = await scene.server.campaign()
    host = await console(scene, campaign)
    page = await overlay(scene, campaign)
    poll = await scene.server.launch(campaign, "Who leads?", ("Mira", "Old Tom", "The cat"), seconds=15)
    for option in (0, 0, 1, 2, 2):
        await scene.server.vote(campaign, poll, option)
    if not scene.is_real:
        scene.server.node.end(campaign)
    await page.until("document.querySelector('#result').textContent === 'Tie: Mira and The cat'")
    equal(await page.eval("[...document.querySelectorAll('#options li')].map((one) => one.className)"),
          ["won", "", "won"])
    await host.until("document.querySelector('#result').textContent === 'Tie: Mira and The cat, 40.0 % each.'")
    equal(await host.eval("[...document.querySelectorAll('.crown:not([hidden])')].map((one) => one.textContent)"),
          ["Tie", "Tie"])
    no_problems(host)
    no_problems(page)


@test
async def a_hidden_overlay_is_right_when_it_is_shown_again(scene):
    campaign = await scene.server.campaign()
    poll = await scene.server.launch(campaign)
    page = await overlay(scene, campaign)
    await page.until(SHOWN)
    await page.call("Page.setWebLifecycleState", {"state": "frozen"})
    await scene.server.vote(campaign, poll, 1)
    await scene.server.cancel(campaign, poll)
    second = await scene.server.launch(campaign, "And now?", ("Yes", "No"))
    await scene.server.vote(campaign, second, 0)
    await page.call("Page.setWebLifecycleState", {"state": "active"})
    await page.until("document.querySelector('#question').textContent === 'And now?'")
    await page.until("document.querySelector('#total').textContent === '1 vote'")
    await scene.server.cancel(campaign, second)
    await page.until("document.querySelector('#result').textContent === 'Cancelled'")
    # Asleep past the time of a result, it has nothing to show when it wakes.
    await page.call("Page.setWebLifecycleState", {"state": "frozen"})
    if scene.is_real:
        await asyncio.sleep(21.5)
    else:
        scene.server.node.clock_ahead = 60
        await page.eval("__shift = 60000")
    true(await page.eval(SHOWN), "its timers slept")
    await page.call("Page.setWebLifecycleState", {"state": "active"})
    await page.until(f"!({SHOWN})")
    if not scene.is_real:
        scene.server.node.clock_ahead = 0
    no_problems(page, LOST, "Back-Forward Cache")


@test
async def the_overlay_takes_its_look_and_its_channel_from_the_address(scene):
    campaign = await scene.server.campaign()
    poll = await scene.server.launch(campaign)
    await scene.server.vote(campaign, poll, 0, channel="mistral")
    await scene.server.vote(campaign, poll, 1, channel="dice")
    plain = await overlay(scene, campaign)
    other = await overlay(scene, campaign, "?channel=dice&theme=light&scale=1.5")
    for page in (plain, other):
        await page.until(SHOWN)
    equal(await plain.text("#total"), "2 votes")
    equal(await other.text("#total"), "1 vote")
    equal(await other.eval("[...document.querySelectorAll('.percent')].map((one) => one.textContent)"),
          ["0.0 %", "100.0 %"])
    equal(await other.eval("document.documentElement.dataset.theme"), "light")
    size = "parseFloat(getComputedStyle(document.documentElement).fontSize)"
    equal([await plain.eval(size), await other.eval(size)], [20, 30], "font sizes")


@test
async def a_late_overlay_does_not_show_an_old_result(scene):
    campaign = await scene.server.campaign()
    poll = await scene.server.launch(campaign)
    await scene.server.cancel(campaign, poll)
    page = await scene.browser.page("about:blank")
    await page.call("Page.addScriptToEvaluateOnNewDocument", {"source": CLOCK})
    await page.go(f"{scene.server.url}/overlay/{campaign}")
    await page.until(SHOWN)
    equal(await page.text("#result"), "Cancelled", "an end of a moment ago is shown")
    await page.eval("__shift = 30000")
    await page.until(f"!({SHOWN})")


@test
async def the_pages_are_light_and_their_policy_is_strict(scene):
    campaign = await scene.server.campaign()
    for path, bound in (("/", 130_000), (f"/overlay/{campaign}", 75_000)):
        page = await scene.page(path)
        await asyncio.sleep(0.5)
        true(0 < page.bytes < bound, f"{path} weighs {page.bytes} bytes, bound {bound}")
        no_problems(page)
        status, headers, body = await scene.server.headers(path)
        equal(status, 200, path)
        policy = headers.get("content-security-policy", "")
        for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'"):
            true(part in policy, f"{path}: {part} is missing in {policy!r}")
        true("unsafe" not in policy, f"{path}: {policy!r}")
        true(b" style=" not in body and b"<style" not in body and b" on" + b"click" not in body, "nothing is inline")
        await page.eval("""document.body.append(Object.assign(document.createElement('script'),
            { textContent: 'globalThis.inline = true' }))""")
        true(not await page.eval("globalThis.inline"), "an inline script does not run")


@test
async def the_files_of_the_pages_are_served_as_what_they_are(scene):
    if not scene.is_real:
        return
    types = {"/": "text/html", "/console.css": "text/css", "/console.js": "text/javascript",
             "/overlay.css": "text/css", "/overlay.js": "text/javascript", "/tumulte.js": "text/javascript",
             "/favicon.svg": "image/svg+xml"}
    for path, kind in types.items():
        status, headers, _ = await scene.server.headers(path)
        equal(status, 200, path)
        true(headers["content-type"].startswith(kind), f"{path}: {headers['content-type']}")
        equal(headers.get("x-content-type-options"), "nosniff", path)
        true(headers.get("etag"), f"{path} has a tag")
    equal((await scene.server.headers("/overlay/nonsense"))[0], 404)
