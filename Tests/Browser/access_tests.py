"""The pages for everybody: by keyboard alone, read aloud, in dark and light, small and large, with a token."""

import asyncio
import json

from harness import RealServer, equal, no_problems, test, token, true
from page_tests import SHOWN, console, overlay, votes_are

# Every visible element with text of its own whose contrast with what lies behind it is under WCAG AA.
CONTRAST = """(() => {
    const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return { r, g, b, a }; };
    const over = (top, under) => Object.fromEntries(["r", "g", "b"].map((part) =>
        [part, top[part] * top.a + under[part] * (1 - top.a)]).concat([["a", 1]]));
    const light = ({ r, g, b }) => { const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92
        : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * x + 0.7152 * y + 0.0722 * z; };
    const ground = (element) => { const layers = []; for (let one = element; one; one = one.parentElement)
        layers.push(parse(getComputedStyle(one).backgroundColor));
        return layers.reduceRight((under, top) => over(top, under), globalThis.__canvas); };
    const faults = [];
    for (const element of document.querySelectorAll("body *")) {
        const own = [...element.childNodes].some((one) => one.nodeType === 3 && one.data.trim())
            || (element.tagName === "INPUT" && element.type !== "radio");
        if (!own || element.closest(".skip, .hidden-text, noscript") || element.matches(":disabled")) continue;
        if (!element.checkVisibility({ visibilityProperty: true })) continue;
        const style = getComputedStyle(element);
        const behind = ground(element);
        let opacity = 1;
        for (let one = element; one; one = one.parentElement) opacity *= Number(getComputedStyle(one).opacity);
        const colors = [style.color];
        if (element.placeholder && !element.value) colors.push(getComputedStyle(element, "::placeholder").color);
        for (const color of colors) {
            const parsed = parse(color);
            const front = over({ ...parsed, a: parsed.a * opacity }, behind);
            const [a, b] = [light(front), light(behind)].sort((x, y) => y - x);
            const ratio = (a + 0.05) / (b + 0.05);
            const size = parseFloat(style.fontSize);
            const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
            if (ratio < (large ? 3 : 4.5)) faults.push(`${element.tagName}#${element.id}.${element.className} `
                + `${(element.textContent || element.value).trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
        }
    }
    return faults;
})()"""

# Bars, fields and the focus ring against what they lie on: 3 to 1.
SHAPES = """(() => {
    const parse = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
    const light = (text) => { const [x, y, z] = parse(text).map((v) => (v /= 255) <= 0.04045 ? v / 12.92
        : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * x + 0.7152 * y + 0.0722 * z; };
    const ratio = (one, two) => { const [a, b] = [light(one), light(two)].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05); };
    const style = (element) => getComputedStyle(element);
    const faults = [];
    for (const fill of document.querySelectorAll(".fill")) {
        const found = ratio(style(fill).backgroundColor, style(fill.parentElement).backgroundColor);
        if (found < 3) faults.push(`bar ${style(fill).backgroundColor}: ${found.toFixed(2)}`);
    }
    const surface = style(document.querySelector(".card")).backgroundColor;
    for (const input of document.querySelectorAll("input:not([type=radio])")) {
        if (!input.checkVisibility()) continue;
        const found = ratio(style(input).borderTopColor, surface);
        if (found < 3) faults.push(`edge of ${input.id}: ${found.toFixed(2)}`);
    }
    return faults;
})()"""

CANVAS = {False: {"r": 255, "g": 255, "b": 255, "a": 1}, True: {"r": 18, "g": 18, "b": 18, "a": 1}}


async def contrast_faults(page, dark: bool) -> list[str]:
    await page.eval(f"void (globalThis.__canvas = {json.dumps(CANVAS[dark])})")
    return await page.eval(CONTRAST)


async def tree(page) -> list[dict]:
    """The accessibility tree, as a screen reader gets it: role, name and value of what is not ignored."""
    nodes = (await page.call("Accessibility.getFullAXTree"))["nodes"]
    return [{"role": one["role"]["value"], "name": one.get("name", {}).get("value", ""),
             "live": next((p["value"]["value"] for p in one.get("properties", []) if p["name"] == "live"), None)}
            for one in nodes if not one["ignored"]]


@test
async def a_poll_is_launched_and_voted_in_with_the_keyboard_alone(scene):
    page = await scene.page("/")
    await page.tab_to("Skip to the content")
    await page.tab_to("create-name")
    await page.type("By keyboard")
    await page.key("Enter")
    await page.until("document.querySelector('#launch').checkVisibility()")
    await page.tab_to("question")
    await page.type("Which way?")
    await page.tab_to("option-1")
    await page.type("Left")
    await page.tab_to("option-2")
    await page.type("Right")
    await page.tab_to("option-add")
    await page.key(" ")
    equal(await page.focused(), "option-3", "focus after adding an option")
    await page.tab_to("Remove option 3")
    await page.key("Enter")
    equal(await page.focused(), "option-2", "focus after removing it")
    await page.tab_to("duration")
    await page.key("ArrowUp")
    equal(await page.eval("document.querySelector('#duration').value"), "61")
    await page.until("true")
    for _ in range(12):
        if await page.eval("document.activeElement.name === 'type'"):
            break
        await page.key("Tab")
    await page.key("ArrowDown")
    equal(await page.eval("document.querySelector('#launch').elements.type.value"), "STANDARD")
    await page.tab_to("launch-submit")
    await page.key("Enter")
    await page.until("document.querySelector('#live-title').textContent === 'Which way?'")
    await page.until("document.activeElement.id === 'live-title'")
    await page.tab_to("Vote for Right")
    true(await page.eval("getComputedStyle(document.activeElement.closest('.option')).outlineStyle === 'solid'"),
         "the focus is seen")
    await page.key("Enter")
    await votes_are(page, [0, 1])
    equal(await page.focused(), "Vote for Right", "the focus stays while the tally moves")
    await page.key(" ")
    await votes_are(page, [0, 2])
    await page.tab_to("cancel")
    await page.key("Enter")
    await page.until("document.querySelector('#live-status').textContent === 'Cancelled'")
    await page.until("document.activeElement.id === 'live-title'")
    no_problems(page)


@test
async def the_dialog_keeps_the_focus_and_gives_it_back(scene):
    page = await scene.page("/")
    await page.tab_to("access-open")
    await page.key("Enter")
    await page.until("document.querySelector('#access').open")
    equal(await page.focused(), "token")
    await page.key("Escape")
    await page.until("!document.querySelector('#access').open")
    equal(await page.focused(), "access-open")


@test
async def everything_has_a_name_and_a_role(scene):
    campaign = await scene.server.campaign()
    poll = await scene.server.launch(campaign)
    await scene.server.vote(campaign, poll, 0, channel="mistral")
    page = await console(scene, campaign)
    await page.until("document.querySelectorAll('.option').length === 2")
    await page.until("document.querySelectorAll('#channels-body tr').length === 1")
    nodes = await tree(page)
    nameless = [one for one in nodes if not one["name"].strip() and one["role"] in
                ("button", "link", "textbox", "spinbutton", "radio", "table", "form", "dialog", "heading", "img")]
    equal([one for one in nameless if one["role"] != "table"], [], "nameless")
    found = {(one["role"], one["name"]) for one in nodes}
    for wanted in (("heading", "The Sunken Crown"), ("heading", "Which way?"), ("button", "Vote for Left"),
                   ("button", "Vote for Right"), ("textbox", "Question"), ("textbox", "Option 1"),
                   ("spinbutton", "Duration in seconds"), ("textbox", "Voter name"), ("button", "Launch poll"),
                   ("button", "Cancel poll"), ("list", "Options"), ("group", "Options")):
        true(wanted in found, f"{wanted} is missing among {sorted(found)}")
    true(any(one["role"] == "main" for one in nodes), "there is a main landmark")
    true(any(one["role"] == "banner" for one in nodes), "there is a banner landmark")
    equal(await page.eval("document.documentElement.lang"), "en")
    equal(await page.eval("document.title"), "The Sunken Crown · Tumulte")
    levels = await page.eval("""[...document.querySelectorAll('h1, h2, h3')].filter((one) => one.checkVisibility())
        .map((one) => Number(one.tagName[1]))""")
    equal(levels.count(1), 1, "main headings")
    true(all(b - a <= 1 for a, b in zip(levels, levels[1:])), f"no heading level is skipped: {levels}")
    ids = await page.eval("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    equal(len(ids), len(set(ids)), "ids are unique")
    dangling = await page.eval("""[...document.querySelectorAll('[aria-describedby],[aria-labelledby],label[for]')]
        .flatMap((one) => [one.getAttribute('aria-describedby'), one.getAttribute('aria-labelledby'), one.htmlFor])
        .filter(Boolean).flatMap((one) => one.split(' ')).filter((id) => !document.getElementById(id))""")
    equal(dangling, [], "references to nothing")


@test
async def the_tally_is_spoken_now_and_then_not_at_every_vote(scene):
    campaign = await scene.server.campaign()
    poll = await scene.server.launch(campaign, kind="STANDARD")
    page = await console(scene, campaign)
    await page.until("document.querySelector('#summary').textContent.startsWith('Poll: Which way?')")
    await page.eval("""void (globalThis.since = performance.now(), globalThis.spoken = 0, new MutationObserver(() => { spoken += 1; })
        .observe(document.querySelector('#summary'), { childList: true, characterData: true, subtree: true }))""")
    for _ in range(5):
        await scene.server.vote(campaign, poll, 0)
        await asyncio.sleep(0.15)
    await votes_are(page, [5, 0])
    # Ten seconds lie between two announcements, and the first was made before the count began.
    announced, seconds = await page.eval("[spoken, (performance.now() - since) / 1000]")
    true(announced <= 1 + seconds // 10, f"{announced} announcements within {seconds:.1f} s")
    equal(await page.eval("document.querySelector('#summary').getAttribute('aria-live')"), "polite")
    equal(await page.eval("document.querySelector('#countdown').getAttribute('aria-live')"), "off")
    await scene.server.cancel(campaign, poll)
    await page.until("document.querySelector('#summary').textContent.includes('Left was ahead with 100.0 %')")


@test
async def colours_meet_their_contrast_in_light_and_dark(scene):
    campaign = await scene.server.campaign()
    poll = await scene.server.launch(campaign, "Which way?", ("Left", "Right", "Up", "Down", "Back"))
    for option in range(5):
        await scene.server.vote(campaign, poll, option, channel="mistral")
    for dark in (False, True):
        page = await console(scene, campaign, dark=dark)
        await votes_are(page, [2 if dark else 1, 1, 1, 1, 1])
        await page.click(".option button")
        await votes_are(page, [3 if dark else 2, 1, 1, 1, 1])
        await page.until("document.querySelector('#vote-status').textContent.startsWith('Your vote')")
        await page.click("#launch-submit")
        await page.until("document.querySelector('#question-error').textContent")
        await page.still()
        equal(await contrast_faults(page, dark), [], f"running, dark {dark}")
        equal(await page.eval(SHAPES), [], f"shapes, dark {dark}")
        home = await scene.page("/", dark=dark)
        equal(await contrast_faults(home, dark), [], f"home, dark {dark}")
    grounds = [await one.eval("getComputedStyle(document.body).backgroundColor") for one in (page, home)]
    await home.scheme(False)
    true(grounds[1] != await home.eval("getComputedStyle(document.body).backgroundColor"), "the schemes differ")
    await scene.server.cancel(campaign, poll)
    await page.until("document.querySelector('#live-status').textContent === 'Cancelled'")
    await page.still()
    equal(await contrast_faults(page, True), [], "ended, dark")
    await page.scheme(False)
    await page.still()
    equal(await contrast_faults(page, False), [], "ended, light")


@test
async def the_overlay_is_readable_over_any_picture(scene):
    campaign = await scene.server.campaign()
    poll = await scene.server.launch(campaign)
    await scene.server.vote(campaign, poll, 0)
    for theme in ("dark", "light"):
        page = await overlay(scene, campaign, f"?theme={theme}")
        await page.until(SHOWN)
        await page.still()
        for picture in ({"r": 255, "g": 255, "b": 255, "a": 1}, {"r": 0, "g": 0, "b": 0, "a": 1}):
            await page.eval(f"void (globalThis.__canvas = {json.dumps(picture)})")
            equal(await page.eval(CONTRAST), [], f"{theme} over {picture}")


@test
async def nothing_is_cut_off_on_a_phone_or_in_large_type(scene):
    campaign = await scene.server.campaign("A campaign with a rather long name that has to wrap somewhere")
    long = ("W" * 25, "An option of some length", "m" * 25)
    poll = await scene.server.launch(campaign, "W" * 45, long)
    for option in range(3):
        await scene.server.vote(campaign, poll, option, channel="a-channel-with-a-long-name-that-goes-on-and-on")
    for width in (320, 390, 768, 1280):
        page = await console(scene, campaign, width=width, height=800)
        await votes_are(page, [1, 1, 1])
        equal(await page.eval("document.documentElement.scrollWidth"), width, f"width of the page at {width}")
        small = await page.eval("""[...document.querySelectorAll('button, input:not([type=radio])')]
            .filter((one) => one.checkVisibility()).map((one) => [one.id || one.ariaLabel || one.textContent,
            one.getBoundingClientRect()]).filter(([, box]) => box.height < 36 || box.width < 36)
            .map(([name]) => name)""")
        equal(small, [], f"targets too small at {width}")
        home = await scene.page("/", width=width, height=800)
        equal(await home.eval("document.documentElement.scrollWidth"), width, f"width of home at {width}")


@test
async def who_asks_for_less_motion_gets_none(scene):
    campaign = await scene.server.campaign()
    await scene.server.launch(campaign)
    page = await console(scene, campaign)
    await page.until("document.querySelectorAll('.option').length === 2")
    moving = "getComputedStyle(document.querySelector('.fill')).transitionDuration"
    true(await page.eval(moving) != "0s", "it moves by default")
    await page.scheme(False, reduced=True)
    equal(await page.eval(moving), "0s")
    await page.until("document.getAnimations().length === 0")


@test
async def with_a_token_secret_the_console_asks_for_a_token(scene):
    if not scene.is_real:
        return
    secret = "a-secret-for-the-browser-tests-only"
    server = RealServer(scene.binary, TUMULTE_TOKEN_SECRET=secret)
    try:
        await server.start()
        server.token = token(secret, "mira", "host")
        campaign = await server.campaign()
        await server.launch(campaign)
        page = await scene.browser.page(f"{server.url}/?campaign={campaign}&host=1")
        await page.until("document.querySelector('#campaign-error').textContent.includes('client token')")
        await page.click("#access-open")
        await page.type(server.token)
        await page.key("Enter")
        await page.until("document.querySelectorAll('.option').length === 2")
        equal(await page.text("#voter-fixed"), "You vote as mira.")
        await page.click(".option button")
        await votes_are(page, [1, 0])
        watcher = await scene.browser.page(
            f"{server.url}/overlay/{campaign}?token={token(secret, 'obs', 'voter')}")
        await watcher.until(SHOWN)
    finally:
        await server.stop()
