// The page of the cluster: nodes, slots and moves as `/admin/placement` tells them, once a second while the page is seen.
// It decides nothing: what would move is asked of the node (`plan`), and what is wished is sent to it.

const idForm = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const slotCount = 4096;
/** Milliseconds between two looks, and after failures at most. */
const calmPause = 1000;
const pauseLimit = 15_000;
const patience = 10_000;

const $ = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const number = new Intl.NumberFormat();
const one = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Sets text only where it differs, so that nothing is announced or laid out for nothing. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const counted = (count, what) => `${number.format(count)} ${what}${count === 1 ? "" : "s"}`;

// Asking

/** The token lives in this window alone; storage may be forbidden, then in this page. */
let token = null;
try {
  token = sessionStorage.getItem("tumulte.adminToken");
} catch { /* asked for again after a reload */ }

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(method, path, body) {
  const headers = {};
  if (token) headers.authorization = `Bearer ${token}`;
  if (body) headers["content-type"] = "application/json";
  const reply = await fetch(`/admin/${path}`, {
    method, headers, body: body && JSON.stringify(body), cache: "no-store", signal: AbortSignal.timeout(patience),
  });
  const answer = await reply.json();
  if (!reply.ok) throw new Refusal(reply.status, answer.error?.message ?? `status ${reply.status}`);
  return answer.data;
}

/** A failure in words. */
function words(error) {
  if (!(error instanceof Refusal)) return "The node cannot be reached.";
  return error.message.charAt(0).toUpperCase() + error.message.slice(1) + ".";
}

// What is known

/** The newest answer; null before the first. */
let placement = null;
/** What the strip shows beside the owners: a plan that was asked for. */
let whatIf = null;
/** The place of the node in each cell of the strip that is pointed at. */
let cursor = null;

const nodeAt = (place) => (place === null || place === undefined ? null : placement.nodes[place]);
const isAlone = () => placement.nodes.length === 1 && placement.nodes[0].address === null;

// Colours: one for each name, for as long as the page is open

const dark = matchMedia("(prefers-color-scheme: dark)");
/** Hues far apart, each with two lightnesses; further nodes come round again a little lighter. */
const hues = [250, 190, 25, 330, 85, 215, 55, 290, 150, 5];
const colourPlaces = new Map();

function colour(name) {
  if (!colourPlaces.has(name)) colourPlaces.set(name, colourPlaces.size);
  const place = colourPlaces.get(name);
  const round = Math.floor(place / hues.length) % 3;
  const lightness = dark.matches ? 62 + 9 * round : 46 - 10 * round;
  return `hsl(${hues[place % hues.length]} ${dark.matches ? 70 : 62}% ${lightness}%)`;
}

// The strip

const strip = $("strip");
const brush = strip.getContext("2d");
let drawn = "";

function geometry() {
  const width = strip.clientWidth;
  const columns = width >= 640 ? 128 : 64;
  const size = Math.max(2, Math.floor((width * devicePixelRatio) / columns));
  return { columns, rows: slotCount / columns, size };
}

/** By slot, where it is bound for: by what moves now, or by the plan that is shown. */
function targets() {
  const found = new Map();
  for (const move of whatIf?.plan?.moves ?? placement.moves) found.set(move.slot, move.to);
  return found;
}

function draw() {
  if (!placement || !strip.clientWidth) return;
  const { columns, rows, size } = geometry();
  const bound = targets();
  const planned = Boolean(whatIf?.plan);
  const look = [columns, size, dark.matches, planned, cursor, placement.owners.map((at) => nodeAt(at)?.name).join(),
    [...bound].join()].join("|");
  if (look === drawn) return;
  drawn = look;
  strip.width = columns * size;
  strip.height = rows * size;
  strip.dataset.columns = String(columns);
  const gap = size >= 5 ? 1 : 0;
  const nobody = dark.matches ? "#45435f" : "#c9c6d8";
  for (let slot = 0; slot < slotCount; slot += 1) {
    const x = (slot % columns) * size;
    const y = Math.floor(slot / columns) * size;
    const owner = nodeAt(placement.owners[slot])?.name;
    const target = bound.get(slot);
    const own = owner === undefined ? nobody : colour(owner);
    // In a plan what stays is pale, what moves has the colour that it would have.
    brush.globalAlpha = planned && target === undefined ? 0.22 : 1;
    brush.fillStyle = planned && target !== undefined ? colour(target) : own;
    brush.fillRect(x, y, size - gap, size - gap);
    if (!planned && target !== undefined && target !== owner) {
      const inset = Math.max(1, Math.floor(size / 4));
      brush.fillStyle = colour(target);
      brush.fillRect(x + inset, y + inset, size - gap - 2 * inset, size - gap - 2 * inset);
    }
  }
  brush.globalAlpha = 1;
  if (cursor !== null) {
    brush.strokeStyle = dark.matches ? "#ffffff" : "#1a1730";
    brush.lineWidth = Math.max(2, Math.floor(size / 4));
    brush.strokeRect((cursor % columns) * size, Math.floor(cursor / columns) * size, size, size);
  }
}

/** Says whose a cell is, and whether it moves. */
function tell(slot) {
  const owner = nodeAt(placement.owners[slot])?.name ?? "nobody";
  const target = targets().get(slot);
  const pin = placement.pins.find((one) => one.slot === slot)?.node;
  let text = `Slot ${slot}: ${owner}`;
  if (target && target !== owner) text += whatIf?.plan ? `, would go to ${target}` : `, on its way to ${target}`;
  if (pin) text += `, pinned to ${pin}`;
  setText($("cell"), text);
}

function point(slot) {
  cursor = slot;
  if (slot !== null && placement) tell(slot);
  draw();
}

function slotUnder(event) {
  const box = strip.getBoundingClientRect();
  const { columns, rows } = geometry();
  const column = Math.min(columns - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * columns)));
  const row = Math.min(rows - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * rows)));
  return row * columns + column;
}

strip.addEventListener("pointermove", (event) => point(slotUnder(event)));
strip.addEventListener("pointerdown", (event) => point(slotUnder(event)));
strip.addEventListener("keydown", (event) => {
  const { columns } = geometry();
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  const at = cursor ?? 0;
  let next = null;
  if (event.key in steps) next = cursor === null ? 0 : at + steps[event.key];
  if (event.key === "Home") next = 0;
  if (event.key === "End") next = slotCount - 1;
  if (next === null) return;
  event.preventDefault();
  if (next >= 0 && next < slotCount) point(next);
});
new ResizeObserver(draw).observe(strip);
dark.addEventListener("change", () => {
  show();
  draw();
});

// Nodes

const rows = new Map();

/** The row of a process, made once, so that focus stays while its figures change. */
function row(node) {
  const key = node.incarnation ?? node.name;
  let parts = rows.get(key);
  if (parts) return parts;
  const swatch = make("span", { className: "swatch", ariaHidden: "true" });
  const here = make("span", { className: "here" });
  const choose = make("button", { type: "button", className: "node" }, swatch, make("span", {}, node.name), here);
  choose.addEventListener("click", () => chooseNode(node.name));
  const state = make("span", { className: "badge state" });
  const act = make("button", { type: "button", className: "act" });
  act.addEventListener("click", () => confirmWish(node.name));
  const cells = Array.from({ length: 6 }, () => make("td"));
  const head = make("th", { scope: "row" }, choose);
  const address = make("td", { className: "text" });
  const line = make("tr", {}, head, make("td", { className: "text" }, state), ...cells, address, make("td", {}, act));
  parts = { line, swatch, here, choose, state, act, cells, address };
  rows.set(key, parts);
  return parts;
}

const canWish = (node) => !isAlone() && node.drain !== "leaving" && node.state !== "replaced";
const wishOf = (node) => (node.drain === "asked" ? `Take ${node.name} back` : `Drain ${node.name}`);

function showNodes() {
  const keys = new Set();
  const body = $("nodes");
  for (const [index, node] of placement.nodes.entries()) {
    keys.add(node.incarnation ?? node.name);
    const parts = row(node);
    if (body.children[index] !== parts.line) body.insertBefore(parts.line, body.children[index] ?? null);
    parts.swatch.style.backgroundColor = colour(node.name);
    setText(parts.here, node.name === placement.here ? "answers" : "");
    parts.line.dataset.node = node.name;
    parts.choose.ariaPressed = String(whatIf?.name === node.name);
    parts.choose.disabled = isAlone();
    parts.state.dataset.state = node.state;
    setText(parts.state, node.state);
    const lease = node.leaseMs === null ? "–" : `${one.format(Math.max(0, node.leaseMs) / 1000)} s`;
    const none = node.answered ? "–" : "no answer";
    const figures = [
      number.format(node.slots), node.cap === null ? "–" : number.format(node.cap), one.format(node.weight),
      node.campaigns === null ? none : number.format(node.campaigns),
      node.connections === null ? none : number.format(node.connections), lease,
    ];
    figures.forEach((text, at) => setText(parts.cells[at], text));
    for (const at of [3, 4]) parts.cells[at].classList.toggle("silent", !node.answered);
    parts.cells[5].classList.toggle("late", node.leaseMs !== null && node.leaseMs <= 0);
    setText(parts.address, node.address ?? "–");
    parts.act.hidden = !canWish(node);
    setText(parts.act, node.drain === "asked" ? "Take back" : "Drain…");
    parts.act.ariaLabel = wishOf(node);
  }
  const chosen = whatIf && placement.nodes.findLast((node) => node.name === whatIf.name);
  $("what-if-do").hidden = !chosen || !canWish(chosen);
  if (chosen) setText($("what-if-do"), `${wishOf(chosen)}…`);
  for (const [key, parts] of rows) {
    if (keys.has(key)) continue;
    parts.line.remove();
    rows.delete(key);
  }
}

function tableRow(first, ...cells) {
  return make("tr", {}, make("th", { scope: "row" }, first), ...cells.map((cell) =>
    make("td", { className: typeof cell === "string" ? "text" : "" },
      typeof cell === "string" ? cell : number.format(cell))));
}

function showMoves() {
  const flows = new Map();
  for (const move of placement.moves) {
    const key = JSON.stringify([move.from ?? "nobody", move.to, move.step]);
    flows.set(key, (flows.get(key) ?? 0) + 1);
  }
  const lines = [...flows].sort().map(([key, count]) => tableRow(...JSON.parse(key), count));
  $("moves").replaceChildren(...lines);
  $("moves-table").hidden = lines.length === 0;
  $("moves-none").hidden = lines.length > 0;
}

function show() {
  if (!placement) return;
  $("cluster").hidden = false;
  $("alone").hidden = !isAlone();
  setText($("asked"), isAlone() ? `Node ${placement.here}` : `Cluster, as ${placement.here ?? "this node"} sees it`);
  const moving = placement.moves.length;
  const nodes = counted(placement.nodes.length, "node");
  setText($("summary"), moving === 0 ? `${nodes}, nothing is on its way` : `${nodes}, slots are on their way`);
  const { max, mean } = placement.balance;
  setText($("balance"), mean === null ? "no node takes slots"
    : `at most ${number.format(max)} slots on a node, ${one.format(mean)} on average`);
  setText($("strip-text"), placement.nodes.map((node) => `${node.name} has ${node.slots}`).join(", "));
  showNodes();
  showMoves();
  if (cursor !== null) tell(cursor);
  draw();
}

// What if

async function chooseNode(name) {
  if (whatIf?.name === name) return closeWhatIf();
  whatIf = { name, plan: null, seen: null };
  const node = placement.nodes.findLast((one) => one.name === name);
  const isOut = node.drain === "asked" && node.cap === null;
  const kinds = isOut ? { join: ["It comes back", "and takes its share"] }
    : { drain: ["It drains", "and gives its slots away in good order"],
      leave: ["It is gone", "at once, and its slots are taken over"] };
  $("what-if-kinds").replaceChildren($("what-if-kinds").querySelector("legend"),
    ...Object.entries(kinds).map(([value, [title, text]], index) => make("label", { className: "choice" },
      make("input", { type: "radio", name: "kind", value, checked: index === 0 }),
      make("span", {}, make("b", {}, title), make("small", {}, text)))));
  setText($("what-if-title"), `What if: ${name}`);
  $("what-if").hidden = false;
  await plan();
  $("what-if-title").focus({ preventScroll: true });
}

function closeWhatIf() {
  const name = whatIf?.name;
  whatIf = null;
  $("what-if").hidden = true;
  show();
  $("nodes").querySelector(`[data-node="${CSS.escape(name ?? "")}"] .node`)?.focus({ preventScroll: true });
}

/** Asks what would follow, and shows it in the strip and as a table. */
async function plan() {
  const asked = whatIf;
  if (!asked) return;
  const kind = $("what-if-kinds").querySelector(":checked")?.value;
  const node = placement.nodes.findLast((one) => one.name === asked.name);
  const weight = Math.min(1000, Math.max(1, Math.round(node?.weight ?? 1)));
  const name = encodeURIComponent(asked.name) + (kind === "join" ? `:${weight}` : "");
  let text;
  try {
    const found = await ask("GET", `placement/plan?${kind}=${name}`);
    if (whatIf !== asked) return;
    asked.plan = found;
    text = found.count === 0 ? "Nothing would move." : `${counted(found.count, "slot")} would move.`;
  } catch (error) {
    if (whatIf !== asked) return;
    asked.plan = null;
    text = words(error);
  }
  asked.seen = signature();
  setText($("what-if-text"), text);
  const gets = new Map();
  const gives = new Map();
  for (const move of asked.plan?.moves ?? []) {
    gets.set(move.to, (gets.get(move.to) ?? 0) + 1);
    gives.set(move.from, (gives.get(move.from) ?? 0) + 1);
  }
  $("what-if-rows").replaceChildren(...(asked.plan?.nodes ?? []).map((one) =>
    tableRow(one.name, one.before, one.after, gets.get(one.name) ?? 0, gives.get(one.name) ?? 0)));
  $("what-if-table").hidden = !asked.plan;
  show();
}

/** What a plan rests on: where it differs, the plan is asked for anew. */
const signature = () => JSON.stringify([placement.version, placement.nodes.map((one) => [one.name, one.state]),
  placement.moves.length, placement.pins]);

$("what-if-close").addEventListener("click", closeWhatIf);
$("what-if-do").addEventListener("click", () => confirmWish(whatIf.name));
$("what-if-kinds").addEventListener("change", plan);

// Wishes

let wish = null;

function confirmWish(name) {
  const node = placement.nodes.findLast((one) => one.name === name);
  const isBack = node.drain === "asked";
  wish = { name, isBack };
  setText($("confirm-title"), isBack ? `Take ${name} back?` : `Drain ${name}?`);
  setText($("confirm-text"), isBack ? `${name} takes its share of the slots again.`
    : `${name} gives its ${counted(node.slots, "slot")} to the others and stays up without any, until it is taken back `
      + "or started again. Its clients stay connected; new ones should go elsewhere.");
  setText($("confirm-do"), isBack ? "Take back" : "Drain");
  setText($("confirm-error"), "");
  $("confirm").showModal();
  $("confirm-cancel").focus();
}

$("confirm-cancel").addEventListener("click", () => $("confirm").close());
$("confirm-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("confirm-do").disabled = true;
  try {
    await ask(wish.isBack ? "DELETE" : "POST", `nodes/${encodeURIComponent(wish.name)}/drain`);
    $("confirm").close();
    if (whatIf?.name === wish.name) closeWhatIf();
    look();
  } catch (error) {
    setText($("confirm-error"), words(error));
  } finally {
    $("confirm-do").disabled = false;
  }
});

// Where and why

$("where").addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = $("where-id");
  const id = input.value.trim();
  const fail = (text) => {
    setText($("where-error"), text);
    input.ariaInvalid = text ? "true" : null;
    if (text) $("where-result").hidden = true;
  };
  if (!idForm.test(id)) return fail("A campaign id is a lowercase UUID of version 7.");
  fail("");
  try {
    const found = await ask("GET", `placement/campaigns/${id}`);
    const moved = found.home !== null && found.home !== found.node;
    const facts = [
      ["Node", found.node ?? "nobody at this moment"], ...(moved ? [["Moves to", found.home]] : []),
      ["Why", found.why?.reason ?? "–"],
      ...(found.why?.rank ? [["Rank", `${found.why.rank} of ${found.why.members}`]] : []),
      ["Slot", String(found.slot)], ["Pinned", found.pin ? `to ${found.pin}` : "no"],
      ["Epoch", String(found.epoch)],
      ["Since", found.since === null ? "the first claim" : new Date(found.since).toLocaleString()],
      ["In memory", found.active === null ? "its owner did not answer" : found.active ? "yes" : "no"],
      ["Running poll", found.runningPoll ?? "none"],
      ["Followed by", `${counted(found.subscribers.clients, "client")} on ${counted(found.subscribers.nodes, "node")}`],
      ["Journal", `row ${found.lsn}, ${found.snapshotLsn === null ? "no snapshot"
        : `a snapshot up to row ${found.snapshotLsn}`}`],
    ];
    $("where-result").replaceChildren(...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
    $("where-result").hidden = false;
    point(found.slot);
  } catch (error) {
    fail(error.status === 404 ? "There is no such campaign." : words(error));
  }
});

// The token

function askForToken(text) {
  if ($("token").open) return;
  setText($("token-text"), text);
  $("token-value").value = "";
  $("token").showModal();
}

const tokenText = "The value of TUMULTE_ADMIN_TOKEN. It is kept in this window until that is closed.";
$("token-open").addEventListener("click", () => askForToken(tokenText));
$("token-cancel").addEventListener("click", () => $("token").close());
$("token-form").addEventListener("submit", () => {
  token = $("token-value").value.trim() || null;
  $("token-value").value = "";
  try {
    if (token) sessionStorage.setItem("tumulte.adminToken", token);
    else sessionStorage.removeItem("tumulte.adminToken");
  } catch { /* kept in this page */ }
  isLocked = false;
  look();
});

// Looking, again and again while the page is seen

let timer = 0;
let failures = 0;
let isLooking = false;
/** A token is needed first: asking on would only be refused. */
let isLocked = false;

function connection(state, text) {
  $("connection").dataset.state = state;
  setText($("connection-text"), text);
}

async function look() {
  clearTimeout(timer);
  if (isLooking || isLocked || document.hidden) return;
  isLooking = true;
  try {
    placement = await ask("GET", "placement?owners=1");
    failures = 0;
    $("error").hidden = true;
    connection("open", "Live");
    show();
    if (whatIf && whatIf.seen !== signature()) await plan();
  } catch (error) {
    failed(error);
  }
  isLooking = false;
  if (isLocked) return;
  const pause = failures === 0 ? calmPause : Math.min(pauseLimit, calmPause * 2 ** failures) * (0.5 + Math.random() / 2);
  timer = setTimeout(look, pause);
}

function failed(error) {
  const isRefused = error instanceof Refusal && (error.status === 401 || error.status === 403);
  if (isRefused && (error.status === 401 || token)) {
    isLocked = true;
    connection("closed", "Token needed");
    setText($("error"), error.status === 401 ? "This node asks for its admin token." : "The admin token is wrong.");
    $("error").hidden = false;
    return askForToken(error.status === 401 ? tokenText : `That token is wrong. ${tokenText}`);
  }
  failures = Math.min(failures + 1, 10);
  connection("waiting", "Reconnecting…");
  // A single failure is passed over: a node may be slow for a moment.
  if (!isRefused && failures < 2 && placement) return;
  setText($("error"), words(error) + (placement ? " What is shown was true when it last answered." : ""));
  $("error").hidden = false;
}

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : look()));
look();
