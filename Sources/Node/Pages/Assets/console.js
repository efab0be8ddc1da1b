// The console: `/` makes and remembers campaigns, `/?campaign=<id>` watches and votes, and `&host=1` beside it adds
// the form that launches. It holds no rule of the domain: it shows what the server says, and sends what was asked.

import { Tumulte, TumulteError, secondsLeft } from "/tumulte.js";

const idForm = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const optionsLimit = 5;
const rememberedLimit = 50;
/** Milliseconds between two spoken summaries of a running tally. */
const summaryPause = 10_000;

const $ = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const number = new Intl.NumberFormat();
const share = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const percent = (/** @type {number} */ value) => `${share.format(value)} %`;
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** @param {string} tag @param {object} [properties] @param {...(Node | string)} children */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Sets text only where it differs, so that nothing is announced or laid out for nothing. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// What this browser and this window remember

/** Storage may be forbidden (private windows): the page works without. */
const memory = {
  read(storage, key) {
    try {
      return storage().getItem(key);
    } catch {
      return null;
    }
  },
  write(storage, key, value) {
    try {
      if (value) storage().setItem(key, value);
      else storage().removeItem(key);
    } catch { /* nothing to remember it in */ }
  },
};
const browser = () => localStorage;
const thisWindow = () => sessionStorage;

/** @returns {{ id: string, name: string }[]} */
function rememberedCampaigns() {
  try {
    const list = JSON.parse(memory.read(browser, "tumulte.campaigns") ?? "[]");
    return list.filter((one) => idForm.test(one?.id) && typeof one.name === "string");
  } catch {
    return [];
  }
}

function remember(campaign) {
  const rest = rememberedCampaigns().filter((one) => one.id !== campaign.id);
  const list = [{ id: campaign.id, name: campaign.name }, ...rest].slice(0, rememberedLimit);
  memory.write(browser, "tumulte.campaigns", JSON.stringify(list));
}

function forget(id) {
  memory.write(browser, "tumulte.campaigns", JSON.stringify(rememberedCampaigns().filter((one) => one.id !== id)));
}

// The connection

const client = new Tumulte({ token: memory.read(thisWindow, "tumulte.token") ?? undefined });
/** The role that the server gave this connection; null until it greeted. */
let role = null;

const connectionTexts = {
  idle: "Not connected", connecting: "Connecting…", open: "Live", waiting: "Reconnecting…", closed: "Disconnected",
};
client.on("state", ({ state }) => {
  $("connection").dataset.state = state;
  setText($("connection-text"), connectionTexts[state]);
});
client.on("hello", (hello) => {
  role = hello.role;
  const named = role !== "service";
  $("voter-field").hidden = named;
  $("voter-fixed").hidden = !named;
  setText($("voter-fixed"), hello.voter ? `You vote as ${hello.voter}.` : "");
  showCampaignError(null);
});
client.on("unauthorized", () => {
  const had = memory.read(thisWindow, "tumulte.token");
  showCampaignError(had
    ? "The server refused the token: it is wrong or has expired. Enter another one under Access."
    : "This server asks for a client token. Enter it under Access.");
});
client.on("error", (error) => {
  if (error instanceof TumulteError && client.state === "closed") showCampaignError(error.message);
  else console.warn(error);
});

$("access-open").addEventListener("click", () => {
  $("token").value = memory.read(thisWindow, "tumulte.token") ?? "";
  $("access").showModal();
});
$("access-cancel").addEventListener("click", () => $("access").close());
$("access-form").addEventListener("submit", () => {
  const token = $("token").value.trim();
  memory.write(thisWindow, "tumulte.token", token);
  location.reload();
});

// Forms: the server's words, at the field that they are about

function clearErrors(form) {
  for (const place of form.querySelectorAll(".field-error, .form-error")) setText(place, "");
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}

/** The server's words as a sentence; a fault of a field reads "must be …" and gets its subject. */
function sentence(message, subject = "") {
  const text = subject && /^[a-z]/.test(message) ? `${subject} ${message}` : message;
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.?!:]$/.test(text) ? "" : ".");
}

/** @param {HTMLFormElement} form @param {Record<string, [any, any]>} fields name → [input, place of the message] */
function showErrors(form, error, fields) {
  let first = null;
  const rest = [];
  for (const { field, message } of error.details ?? []) {
    // `options[1]` and `options.1` are both about the second option.
    const [name, index] = field.split(/[[.]/).map((part) => part.replace("]", ""));
    const entry = fields[`${name}.${index}`] ?? fields[name];
    if (!entry) {
      if (field !== "poll") rest.push(sentence(`${field} ${message}`));
      continue;
    }
    setText(entry[1], sentence(message, "This"));
    entry[0].setAttribute("aria-invalid", "true");
    first ??= entry[0];
  }
  const text = [...new Set([first ? null : sentence(error.message), ...rest])].filter(Boolean).join(" ");
  setText(form.querySelector(".form-error"), text);
  first?.focus();
}

/** One submission at a time, with the errors shown in the form. */
function onSubmit(form, fields, action) {
  let busy = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    form.setAttribute("aria-busy", "true");
    clearErrors(form);
    try {
      await action();
    } catch (error) {
      showErrors(form, error, fields());
    } finally {
      busy = false;
      form.removeAttribute("aria-busy");
    }
  });
}

// Home

onSubmit($("create"), () => ({ name: [$("create-name"), $("create-name-error")] }), async () => {
  const name = $("create-name").value.trim();
  if (Array.from(name).length < 3) {
    const message = "A name has 3 to 100 characters.";
    throw new TumulteError("bad_request", message, { details: [{ field: "name", message }] });
  }
  const campaign = await client.request("POST", "/v1/campaigns", { name });
  remember(campaign);
  $("create").reset();
  navigate(address(campaign.id, true));
});

onSubmit($("open"), () => ({ campaign: [$("open-id"), $("open-id-error")] }), async () => {
  const id = $("open-id").value.trim().toLowerCase();
  const fault = (message) => new TumulteError("bad_request", message, { details: [{ field: "campaign", message }] });
  if (!idForm.test(id)) throw fault("This is not a campaign id: it looks like 0190b5a2-7c1e-7d42-9f35-2b8c6d1e4a70.");
  const campaign = await client.request("GET", `/v1/campaigns/${id}`).catch((error) => {
    throw error.code === "not_found" ? fault("There is no campaign with this id.") : error;
  });
  remember(campaign);
  $("open").reset();
  navigate(address(id, true));
});

const address = (id, host) => `/?campaign=${id}${host ? "&host=1" : ""}`;

function showHome() {
  const list = rememberedCampaigns();
  $("remembered").hidden = list.length === 0;
  $("remembered-list").replaceChildren(...list.map(({ id, name }) => {
    const link = make("a", { href: address(id, true), textContent: name });
    const button = make("button", { type: "button", className: "quiet", textContent: "Forget" });
    button.setAttribute("aria-label", `Forget ${name}`);
    button.addEventListener("click", () => {
      forget(id);
      showHome();
      $("home-title").focus();
    });
    return make("li", {}, make("div", {}, link, make("small", { textContent: id })), button);
  }));
}

// Where the page is

/** @type {{ id: string, host: boolean, subscription: any, name: string } | null} */
let place = null;

function navigate(target) {
  history.pushState(null, "", target);
  route(true);
}

function route(moved = false) {
  const query = new URLSearchParams(location.search);
  const id = query.get("campaign");
  place?.subscription?.close();
  place = null;
  $("home").hidden = id !== null;
  $("campaign").hidden = id === null;
  if (id === null) {
    document.title = "Tumulte";
    showHome();
    if (moved) $("home-title").focus();
    return;
  }
  showCampaign(id, query.get("host") === "1");
  if (moved) $("campaign-title").focus();
}

addEventListener("popstate", () => route(true));
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[href^='/']") : null;
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || link.pathname !== "/") return;
  event.preventDefault();
  navigate(link.getAttribute("href"));
});

// A campaign

function showCampaignError(text) {
  $("campaign-error").hidden = !text;
  setText($("campaign-error"), text ?? "");
}

function showCampaign(id, host) {
  const known = rememberedCampaigns().find((one) => one.id === id);
  place = { id, host, subscription: null, name: known?.name ?? "Campaign" };
  const here = place;
  nameCampaign(place.name, null);
  showCampaignError(null);
  shown = null;
  showPoll(null);
  setText($("vote-status"), "");
  setText($("live-error"), "");
  $("history").hidden = true;
  $("workspace").hidden = false;
  $("launch").hidden = !host;
  setText($("campaign-kind"), host ? "You host" : "Watch and vote");
  $("manage").hidden = host || !known;
  $("manage").href = address(id, true);
  $("vote-url").value = new URL(address(id, false), location.origin).href;
  $("overlay-url").value = new URL(`/overlay/${id}`, location.origin).href;
  if (!idForm.test(id)) return missing("This address holds no valid campaign id.");
  place.subscription = client.subscribe(id, {
    change: (poll, meta) => {
      showPoll(poll);
      summarize(poll, meta.event !== "poll:update" && meta.event !== "poll:countdown");
    },
    stale: (stale) => { $("stale").hidden = !stale || shown === null; },
    subscribed: () => refreshHistory(here),
    "poll:start": () => setText($("vote-status"), ""),
    "poll:end": () => refreshHistory(here),
    "campaign:updated": (campaign) => nameCampaign(campaign.name, campaign.description),
    "campaign:deleted": () => { forget(id); missing("This campaign was deleted."); },
    error: (error) => missing(error.code === "not_found" ? "There is no campaign with this id." : sentence(error.message)),
  });
  client.connect();
  client.request("GET", `/v1/campaigns/${id}`).then((campaign) => {
    if (here !== place) return;
    nameCampaign(campaign.name, campaign.description);
    if (here.host) remember(campaign);
  }).catch(() => { /* the subscription says what is wrong */ });
}

function missing(text) {
  showCampaignError(text);
  $("workspace").hidden = true;
  $("manage").hidden = true;
}

function nameCampaign(name, description) {
  place.name = name;
  setText($("campaign-title"), name);
  document.title = `${name} · Tumulte`;
  $("campaign-description").hidden = !description;
  setText($("campaign-description"), description ?? "");
}

async function refreshHistory(here) {
  const polls = await client.request("GET", `/v1/campaigns/${here.id}/polls?limit=20`).catch(() => null);
  if (!Array.isArray(polls) || here !== place) return;
  const past = polls.filter((poll) => poll.status !== "RUNNING");
  $("history").hidden = past.length === 0;
  $("history-list").replaceChildren(...past.map((poll) => make("li", {},
    make("div", {}, make("b", { textContent: poll.question }), make("small", { textContent: outcome(poll) })),
    make("span", { className: "end" }, `${number.format(poll.totalVotes)} ${poll.totalVotes === 1 ? "vote" : "votes"}`,
      make("small", { textContent: moment.format(new Date(poll.endedAt ?? poll.endsAt)) })))));
}

// The poll

/** @type {any} The poll on show. */
let shown = null;
/** @type {any[]} The moving parts of its options. */
let rows = [];
/** What this window voted: poll → option. */
const choices = new Map();

/** Joins names as a sentence does. */
const listed = new Intl.ListFormat("en", { type: "conjunction" });

/** How a poll came out, in words. */
function outcome(poll) {
  const names = listed.format(poll.winners.map((index) => poll.options[index]));
  const prefix = poll.status === "CANCELLED" ? "Cancelled. " : "";
  if (poll.totalVotes === 0) return `${prefix}Nobody voted.`;
  if (poll.winners.length > 1) return `${prefix}Tie: ${names}, ${percent(poll.percentages[poll.winners[0]])} each.`;
  const verb = poll.status === "CANCELLED" ? "was ahead" : "wins";
  return `${prefix}${names} ${verb} with ${percent(poll.percentages[poll.winners[0]])}.`;
}

function showPoll(poll) {
  const fresh = poll?.id !== shown?.id || poll?.question !== shown?.question;
  shown = poll;
  $("live").dataset.status = poll?.status ?? "NONE";
  $("live-empty").hidden = poll !== null;
  $("stale").hidden = poll === null || !(place?.subscription?.stale ?? false);
  if (fresh) buildOptions(poll);
  const running = poll?.status === "RUNNING";
  const words = { RUNNING: "Live", ENDED: "Ended", CANCELLED: "Cancelled" };
  setText($("live-status"), poll ? words[poll.status] : "Waiting");
  setText($("live-title"), poll?.question ?? "No poll yet");
  $("live-type").hidden = !poll;
  setText($("live-type"), poll?.type === "UNIQUE" ? "One vote each" : "Every vote counts");
  $("cancel").hidden = !running || !place?.host;
  $("result").hidden = !poll || running;
  if (poll && !running) setText($("result"), outcome(poll));
  setText($("total"), poll ? `${number.format(poll.totalVotes)} ${poll.totalVotes === 1 ? "vote" : "votes"}` : "");
  poll?.options.forEach((_, index) => showOption(poll, index, running));
  showChannels(poll);
  showCountdown();
}

function buildOptions(poll) {
  rows = (poll?.options ?? []).map((name, index) => {
    const button = make("button", { type: "button", textContent: "Vote" });
    button.setAttribute("aria-label", `Vote for ${name}`);
    button.addEventListener("click", () => vote(poll.id, index));
    const crown = make("span", { className: "crown", hidden: true });
    const count = make("span", { className: "count" });
    const part = make("span", { className: "percent" });
    const fill = make("div", { className: "fill" });
    const track = make("div", { className: "track" }, fill);
    track.setAttribute("aria-hidden", "true");
    const row = make("li", { className: "option" },
      make("div", { className: "option-line" }, make("span", { className: "option-name", textContent: name }), crown,
        make("span", { className: "option-figures" }, count, part), button), track);
    return { row, button, crown, count, part, fill };
  });
  $("options").replaceChildren(...rows.map(({ row }) => row));
}

function showOption(poll, index, running) {
  const { row, button, crown, count, part, fill } = rows[index];
  const won = poll.winners.includes(index);
  const mine = choices.get(poll.id) === index;
  setText(count, `${number.format(poll.votes[index])} ${poll.votes[index] === 1 ? "vote" : "votes"}`);
  setText(part, percent(poll.percentages[index]));
  fill.style.setProperty("--share", `${poll.percentages[index]}%`);
  row.classList.toggle("won", won);
  row.classList.toggle("mine", mine);
  button.hidden = !running;
  if (poll.type === "UNIQUE") {
    button.setAttribute("aria-pressed", String(mine));
    setText(button, mine ? "Voted" : "Vote");
  }
  crown.hidden = !won;
  if (won) setText(crown, poll.winners.length > 1 ? "Tie" : poll.status === "ENDED" ? "Winner" : "Ahead");
}

function showChannels(poll) {
  const channels = poll?.channels ?? [];
  $("channels").hidden = channels.length === 0;
  if (channels.length === 0) return;
  const head = (text) => make("th", { scope: "col", textContent: text });
  $("channels-head").replaceChildren(head("Channel"), ...poll.options.map(head), head("Votes"));
  $("channels-body").replaceChildren(...channels.map(({ channel, totalVotes, votes }) => make("tr", {},
    make("th", { scope: "row", textContent: channel }),
    ...votes.map((count) => make("td", { textContent: number.format(count) })),
    make("td", { textContent: number.format(totalVotes) }))));
}

function showCountdown() {
  const running = shown?.status === "RUNNING";
  $("countdown").hidden = !running;
  const left = running ? secondsLeft(shown, client.now()) : 0;
  if (running) {
    setText($("countdown"), `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`);
    $("countdown").classList.toggle("soon", left <= 10);
  }
  $("time-left").style.setProperty("--left", String(running ? Math.min(1, left / shown.durationSeconds) : 0));
}
setInterval(showCountdown, 250);
document.addEventListener("visibilitychange", showCountdown);

// For ears: the start and the end at once, the tally in between now and then

let spokenAt = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let speaking;

function summarize(poll, urgent) {
  clearTimeout(speaking);
  if (!poll) return;
  const wait = urgent ? 0 : Math.max(0, spokenAt + summaryPause - Date.now());
  speaking = setTimeout(() => {
    spokenAt = Date.now();
    setText($("summary"), spoken(poll));
  }, wait);
}

function spoken(poll) {
  if (poll.status !== "RUNNING") return `${poll.question} ${outcome(poll)}`;
  const left = secondsLeft(poll, client.now());
  if (poll.totalVotes === 0) return `Poll: ${poll.question} ${listed.format(poll.options)}. ${left} seconds left.`;
  const best = Math.max(...poll.votes);
  const leaders = poll.options.filter((_, index) => poll.votes[index] === best);
  const part = share.format(poll.percentages[poll.votes.indexOf(best)]);
  return `${poll.totalVotes} votes. ${listed.format(leaders)} ${leaders.length > 1 ? "lead" : "leads"} with `
    + `${part} percent. ${left} seconds left.`;
}

// Voting

const savedVoter = memory.read(thisWindow, "tumulte.voter");
$("voter").value = savedVoter ?? `viewer-${crypto.getRandomValues(new Uint16Array(1))[0].toString(36)}`;
memory.write(thisWindow, "tumulte.voter", $("voter").value);
$("voter").addEventListener("change", () => {
  memory.write(thisWindow, "tumulte.voter", $("voter").value.trim());
  choices.clear();
  if (shown) showPoll(shown);
});

/** How many votes this window sent in the poll `sentFor`. */
let sent = 0;
let sentFor = "";

const voteTexts = {
  counted: "Your vote counts", moved: "Your vote moved", same: "Your vote was already there",
  duplicate: "Your vote counts",
};

async function vote(poll, option) {
  const name = shown.options[option];
  const voter = role === "service" || role === null ? $("voter").value.trim() || undefined : undefined;
  const channel = $("channel").value.trim() || undefined;
  setText($("live-error"), "");
  setText($("vote-status"), "Sending your vote…");
  try {
    const { status } = await client.vote({ campaign: place.id, poll, option, voter, channel });
    choices.set(poll, option);
    // The number makes each of several equal votes a new text, and so a new announcement.
    sent = poll === sentFor ? sent + 1 : 1;
    sentFor = poll;
    const times = shown?.type === "STANDARD" && sent > 1 ? ` (${sent} from you)` : "";
    setText($("vote-status"), `${voteTexts[status]}: ${name}${times}.`);
  } catch (error) {
    setText($("vote-status"), "");
    setText($("live-error"), error.unknown ? "No answer came: vote again to be sure." : sentence(error.message));
  }
  if (shown?.id === poll) showPoll(shown);
}

// Launching and cancelling

function optionInputs() {
  return [...$("option-fields").querySelectorAll("input")];
}

function addOption() {
  const input = make("input", { maxLength: 25, autocomplete: "off", required: true });
  const error = make("p", { className: "field-error" });
  const remove = make("button", { type: "button", textContent: "×" });
  const item = make("li", {}, make("div", {}, input, error), remove);
  remove.addEventListener("click", () => {
    const index = optionInputs().indexOf(input);
    item.remove();
    numberOptions();
    optionInputs()[Math.max(0, index - 1)].focus();
  });
  $("option-fields").append(item);
  numberOptions();
  return input;
}

function numberOptions() {
  const items = [...$("option-fields").children];
  items.forEach((item, index) => {
    const [input, error, remove] = [item.querySelector("input"), item.querySelector("p"), item.querySelector("button")];
    error.id = `option-${index + 1}-error`;
    input.id = `option-${index + 1}`;
    input.setAttribute("aria-label", `Option ${index + 1}`);
    input.setAttribute("aria-describedby", error.id);
    input.placeholder = `Option ${index + 1}`;
    remove.setAttribute("aria-label", `Remove option ${index + 1}`);
    remove.hidden = items.length <= 2;
  });
  $("option-add").hidden = items.length >= optionsLimit;
}

addOption();
addOption();
$("option-add").addEventListener("click", () => addOption().focus());
for (const chip of document.querySelectorAll("[data-seconds]")) {
  chip.addEventListener("click", () => { $("duration").value = chip.dataset.seconds; });
}

function launchFields() {
  const fields = {
    question: [$("question"), $("question-error")],
    options: [optionInputs()[0], $("options-error")],
    durationSeconds: [$("duration"), $("duration-error")],
    type: [$("launch").elements.type[0], $("type-error")],
  };
  optionInputs().forEach((input, index) => {
    fields[`options.${index}`] = [input, input.parentElement.querySelector(".field-error")];
  });
  return fields;
}

/** The faults that need no round trip; the server checks everything again. */
function launchFaults(body) {
  const details = [];
  if (!body.question) details.push({ field: "question", message: "Write a question." });
  body.options.forEach((option, index) => {
    if (!option) details.push({ field: `options.${index}`, message: "Write this option, or remove it." });
  });
  if (!Number.isInteger(body.durationSeconds) || body.durationSeconds < 15 || body.durationSeconds > 1800) {
    details.push({ field: "durationSeconds", message: "A poll lasts 15 to 1800 seconds." });
  }
  return details;
}

onSubmit($("launch"), launchFields, async () => {
  const body = {
    question: $("question").value.trim(),
    options: optionInputs().map((input) => input.value.trim()),
    durationSeconds: Number($("duration").value),
    type: $("launch").elements.type.value,
  };
  const details = launchFaults(body);
  if (details.length > 0) throw new TumulteError("bad_request", "Something is missing.", { details });
  await client.request("POST", `/v1/campaigns/${place.id}/polls`, body);
  $("question").value = "";
  for (const item of [...$("option-fields").children].slice(2)) item.remove();
  for (const input of optionInputs()) input.value = "";
  numberOptions();
  $("live-title").focus();
});

$("cancel").addEventListener("click", async () => {
  const poll = shown;
  if (poll?.status !== "RUNNING") return;
  setText($("live-error"), "");
  $("cancel").disabled = true;
  try {
    await client.request("POST", `/v1/campaigns/${place.id}/polls/${poll.id}/cancel`, {});
    $("live-title").focus();
  } catch (error) {
    setText($("live-error"), sentence(error.message));
  } finally {
    $("cancel").disabled = false;
  }
});

// Sharing

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const input = $(button.dataset.copy);
    input.select();
    try {
      await navigator.clipboard.writeText(input.value);
      setText($("share-status"), "Copied.");
    } catch {
      setText($("share-status"), "Selected: press Ctrl or ⌘ and C to copy.");
    }
  });
}

route();
