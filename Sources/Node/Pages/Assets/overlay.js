// The overlay for a browser source: shows the running poll, then its result for 20 s, then nothing. Everything that
// depends on time is worked out from time stamps whenever something happens, so that a source that was hidden (its
// timers asleep) is right the moment it is shown again.
//
// Query: `channel=` shows that channel's votes only, `theme=dark|light`, `scale=` 0.5 to 3, `token=` a client token.

import { Tumulte, secondsLeft } from "/tumulte.js";

/** Milliseconds for which a result stays. */
const resultTime = 20_000;
/** Milliseconds of the fade at its end; as in the style sheet. */
const fadeTime = 800;
/** The longest wait of a timer that only re-reads the clock. */
const tick = 250;

const $ = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const number = new Intl.NumberFormat();
const share = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const listed = new Intl.ListFormat("en", { type: "conjunction" });
const query = new URLSearchParams(location.search);
const campaign = location.pathname.split("/")[2];
const channel = query.get("channel");

document.documentElement.dataset.theme = query.get("theme") === "light" ? "light" : "dark";
const scale = Number(query.get("scale") ?? 1);
if (scale >= 0.5 && scale <= 3) document.documentElement.style.setProperty("--scale", String(scale));

/** @type {any} */
let poll = null;
/** @type {any[]} */
let rows = [];
/** The poll whose rows are built. */
let built = "";
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

const client = new Tumulte({ token: query.get("token") ?? undefined });

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The votes to show: everybody's, or those of the channel asked for. */
function tally() {
  if (channel === null) return poll;
  const own = poll.channels.find((one) => one.channel === channel);
  const votes = own?.votes ?? poll.options.map(() => 0);
  const totalVotes = votes.reduce((sum, count) => sum + count, 0);
  const percentages = votes.map((count) => (totalVotes ? Math.round((count * 1000) / totalVotes) / 10 : 0));
  const best = Math.max(...votes);
  const winners = poll.status === "RUNNING" || best === 0
    ? [] : votes.flatMap((count, index) => (count === best ? [index] : []));
  return { votes, totalVotes, percentages, winners };
}

/** Milliseconds since the poll ended, by the server's clock; negative while it runs. */
function sinceEnd() {
  return poll.status === "RUNNING" ? -1 : Math.max(0, client.now() - Date.parse(poll.endedAt ?? poll.endsAt));
}

function build() {
  built = poll.id;
  rows = poll.options.map((name, index) => {
    const item = document.createElement("li");
    const line = Object.assign(document.createElement("div"), { className: "line" });
    const key = Object.assign(document.createElement("span"), { className: "key", textContent: String(index + 1) });
    const label = Object.assign(document.createElement("span"), { className: "name", textContent: name });
    const percent = Object.assign(document.createElement("span"), { className: "percent" });
    const track = Object.assign(document.createElement("div"), { className: "track" });
    const fill = Object.assign(document.createElement("div"), { className: "fill" });
    track.setAttribute("aria-hidden", "true");
    line.append(key, label, percent);
    track.append(fill);
    item.append(line, track);
    return { item, percent, fill };
  });
  $("options").replaceChildren(...rows.map(({ item }) => item));
}

function resultText(now) {
  if (poll.status === "CANCELLED") return "Cancelled";
  if (now.winners.length === 0) return "Nobody voted";
  const names = listed.format(now.winners.map((index) => poll.options[index]));
  return now.winners.length > 1 ? `Tie: ${names}` : `${names} wins`;
}

function render() {
  clearTimeout(timer);
  const panel = $("overlay");
  const age = poll ? sinceEnd() : Infinity;
  if (age >= resultTime + fadeTime) {
    panel.hidden = true;
    return;
  }
  const running = age < 0;
  const now = tally();
  if (built !== poll.id) build();
  panel.hidden = false;
  panel.classList.toggle("final", !running && poll.status === "ENDED" && now.winners.length > 0);
  panel.classList.toggle("leaving", age >= resultTime);
  setText($("question"), poll.question);
  const left = secondsLeft(poll, client.now());
  setText($("clock"), running ? `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}` : "");
  $("clock").classList.toggle("soon", running && left <= 10);
  $("time-left").style.setProperty("--left", String(running ? Math.min(1, left / poll.durationSeconds) : 0));
  rows.forEach(({ item, percent, fill }, index) => {
    setText(percent, `${share.format(now.percentages[index])} %`);
    fill.style.setProperty("--share", `${now.percentages[index]}%`);
    item.classList.toggle("won", now.winners.includes(index));
  });
  setText($("total"), `${number.format(now.totalVotes)} ${now.totalVotes === 1 ? "vote" : "votes"}`);
  setText($("result"), running ? "" : resultText(now));
  timer = setTimeout(render, tick);
}

client.subscribe(campaign, {
  change: (next) => {
    poll = next;
    render();
  },
});
client.on("hello", render);
document.addEventListener("visibilitychange", render);
client.connect();
