/**
 * The client of Tumulte, for browsers, module workers and Node: one ES module without dependencies.
 *
 *     import { Tumulte } from "/tumulte.js";
 *     const client = new Tumulte();
 *     client.connect();
 *     const subscription = client.subscribe(campaign, { change: (poll) => console.log(poll?.votes) });
 *     const { status } = await client.vote({ campaign, poll: subscription.poll.id, option: 0 });
 *
 * One WebSocket carries every subscription. When it breaks, the client connects again after 1 s, doubling to 30 s,
 * with a jitter of ±500 ms, and resumes every subscription in one round trip. What a subscriber sees never goes back:
 * anything at or below the position already seen is dropped. A vote whose connection broke is sent again under the
 * key that it was given first, so it counts once.
 *
 * @module tumulte
 */

/** @typedef {{ epoch: number, seq: number }} Position A place in a campaign's stream; compared as a pair. */
/** @typedef {{ channel: string, totalVotes: number, votes: number[] }} ChannelTally Votes of one audience. */
/** @typedef {"idle" | "connecting" | "open" | "waiting" | "closed"} ConnectionState */
/** @typedef {"counted" | "moved" | "same" | "duplicate"} VoteStatus */

/**
 * @typedef {object} Poll
 * @property {string} id
 * @property {string} campaignId
 * @property {string} question
 * @property {string[]} options
 * @property {"STANDARD" | "UNIQUE"} type
 * @property {number} durationSeconds
 * @property {"RUNNING" | "ENDED" | "CANCELLED"} status
 * @property {string} startedAt RFC 3339, UTC.
 * @property {string} endsAt RFC 3339, UTC.
 * @property {string | null} endedAt RFC 3339, UTC; null while the poll runs.
 * @property {number} totalVotes
 * @property {number[]} votes By option index.
 * @property {number[]} percentages By option index, one decimal.
 * @property {number[]} winners Every option that shares the highest count; empty while the poll runs.
 * @property {ChannelTally[]} channels
 * @property {number} epoch
 * @property {number} seq
 * @property {number} [secondsLeft] The latest countdown mark, where one came.
 */

/**
 * @typedef {object} EventMeta
 * @property {string} campaign
 * @property {number} epoch
 * @property {number} seq
 * @property {string | null} at When it happened, RFC 3339; null for `subscribed`.
 * @property {string} event
 */

/**
 * What a subscriber may listen to. `change` follows everything that concerns the poll; the others are the events one
 * by one. A handler that throws stops nothing: its error is reported as the client's event `error`.
 *
 * @typedef {object} Handlers
 * @property {(poll: Poll | null, meta: EventMeta) => void} [change] The poll after any event, or null where none is.
 * @property {(stale: boolean) => void} [stale] Whether what is shown may be behind (no connection, place lost).
 * @property {(data: { recovered: boolean, poll: Poll | null }, meta: EventMeta) => void} [subscribed]
 * @property {(poll: Poll, meta: EventMeta) => void} ["poll:start"]
 * @property {(tally: object, meta: EventMeta) => void} ["poll:update"]
 * @property {(data: { id: string, secondsLeft: number }, meta: EventMeta) => void} ["poll:countdown"]
 * @property {(poll: Poll, meta: EventMeta) => void} ["poll:end"]
 * @property {(campaign: object, meta: EventMeta) => void} ["campaign:updated"]
 * @property {(data: object, meta: EventMeta) => void} ["campaign:deleted"]
 * @property {(data: { name: string, data: any }, meta: EventMeta) => void} ["signal"]
 * @property {(error: TumulteError) => void} [error] The subscription was refused.
 */

/**
 * @typedef {object} Options
 * @property {string | URL} [url] The node or its load balancer, as `https://host`; default: where this module is from.
 * @property {string} [token] A client token; none in open mode.
 * @property {string} [voter] Whom the connection votes for; only where the token's role is `service`.
 * @property {typeof WebSocket} [WebSocket] Another implementation, where the platform has none.
 * @property {Partial<Timing>} [timing] Other times than the usual; for tests and special networks.
 */

/**
 * @typedef {object} Timing All in milliseconds.
 * @property {number} first The wait before the first new connection.
 * @property {number} longest The wait that doubling ends at.
 * @property {number} jitter Added or taken away at random.
 * @property {number} connect How long a connection may take to greet.
 * @property {number} silence After how much silence the client asks whether the server is there.
 * @property {number} reply How long one answer may take.
 * @property {number} command How long a vote or signal may take in all, new connections included.
 */

/** @type {Readonly<Timing>} */
const defaultTiming = Object.freeze({
  first: 1000, longest: 30_000, jitter: 500, connect: 10_000, silence: 35_000, reply: 8000, command: 30_000,
});
/** Codes after which the very same command may be sent again. */
const retryable = new Set(["rate_limited", "overloaded", "unavailable", "timeout", "internal"]);
/** Codes that leave open whether the command was applied. */
const undecided = new Set(["timeout", "internal", "disconnected"]);
/** After these closes a new connection would end the same way. */
const finalCloses = new Map([[4400, "bad_request"], [4401, "unauthorized"]]);

/** A refusal by the server, or a failure on the way to it. */
export class TumulteError extends Error {
  /**
   * @param {string} code One of the server's stable codes, or `disconnected`, `closed`.
   * @param {string} message
   * @param {{ details?: { field: string, message: string }[], retryAfterMs?: number, status?: number,
   *   unknown?: boolean, requestId?: string }} [more]
   */
  constructor(code, message, more = {}) {
    super(message);
    this.name = "TumulteError";
    this.code = code;
    /** The fields at fault, where the server named them. */
    this.details = more.details ?? [];
    /** When to try again, where the server said so. */
    this.retryAfterMs = more.retryAfterMs;
    /** HTTP status, where the command went over HTTP. */
    this.status = more.status;
    this.requestId = more.requestId;
    /** True where the command may have been applied all the same. */
    this.unknown = more.unknown ?? undecided.has(code);
  }
}

/** What the client dispatches: the payload is `detail`. */
class ClientEvent extends Event {
  /** @param {string} type @param {any} detail */
  constructor(type, detail) {
    super(type);
    this.detail = detail;
  }
}

/** @param {Position} a @param {Position | null} b Whether `a` is ahead of `b`. */
export function isAhead(a, b) {
  return b === null || a.epoch > b.epoch || (a.epoch === b.epoch && a.seq > b.seq);
}

/**
 * The poll after an event; the same object where the event changes nothing. Pure.
 *
 * @param {Poll | null} poll
 * @param {string} event
 * @param {any} data
 * @param {Position} [position]
 * @returns {Poll | null}
 */
export function applyPollEvent(poll, event, data, position) {
  switch (event) {
    case "poll:start":
    case "poll:end":
      return data;
    case "poll:update":
      if (poll?.id !== data.id || poll.status !== "RUNNING") return poll;
      return { ...poll, ...data, ...position };
    case "poll:countdown":
      if (poll?.id !== data.id || poll.status !== "RUNNING") return poll;
      return { ...poll, secondsLeft: data.secondsLeft, ...position };
    case "campaign:deleted":
      return null;
    default:
      return poll;
  }
}

/**
 * Whole seconds until the poll ends, 0 once it is over.
 *
 * @param {Poll} poll
 * @param {number} now Server time in milliseconds, as `client.now()` gives it.
 */
export function secondsLeft(poll, now) {
  if (poll.status !== "RUNNING") return 0;
  const left = Math.ceil((Date.parse(poll.endsAt) - now) / 1000);
  // The two clocks are known to agree within some milliseconds only: a poll of 60 s never starts at 61.
  return Math.min(poll.durationSeconds, Math.max(0, left));
}

/** Whether two votes are of one voter in one poll. @param {any} a @param {any} b */
function rivals(a, b) {
  return a.op === "vote" && b.op === "vote" && a.campaign === b.campaign && a.poll === b.poll && a.voter === b.voter;
}

/** A new key for a vote or a request: 32 hexadecimal digits. */
export function newKey() {
  // randomUUID exists only in secure contexts; a page over plain HTTP in a home network is not one.
  if (crypto.randomUUID) return crypto.randomUUID().replaceAll("-", "");
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** One follower of a campaign; made by `Tumulte.subscribe`. */
class Subscription {
  #stream;
  #leave;

  /** @param {Stream} stream @param {Handlers} handlers @param {(subscription: Subscription) => void} leave */
  constructor(stream, handlers, leave) {
    this.#stream = stream;
    this.#leave = leave;
    this.handlers = handlers;
  }

  get campaign() { return this.#stream.campaign; }
  /** @returns {Poll | null} The running poll, or the latest one. */
  get poll() { return this.#stream.poll; }
  /** @returns {Position | null} Everything up to here has been seen. */
  get position() { return this.#stream.position; }
  /** Whether what is shown may be behind. */
  get stale() { return this.#stream.stale; }
  /** Stops following. */
  close() { this.#leave(this); }
}

/**
 * The state of one campaign's stream, whatever connection it comes over.
 *
 * @typedef {object} Stream
 * @property {string} campaign
 * @property {Position | null} position
 * @property {Poll | null} poll
 * @property {boolean} late Made after the greeting of the present connection left.
 * @property {boolean} live The server confirmed the subscription on the present connection.
 * @property {boolean} stale
 * @property {TumulteError | null} refused
 * @property {number} refusals In a row, for the wait before the next try.
 * @property {ReturnType<typeof setTimeout> | undefined} retry
 * @property {Set<Subscription>} subscriptions
 */

/**
 * A command that waits for its reply.
 *
 * @typedef {object} Pending
 * @property {any} message
 * @property {(reply: any) => void} resolve
 * @property {(error: TumulteError) => void} reject
 * @property {boolean} repeatable Whether sending it twice has the effect of once.
 * @property {boolean} doubtful Whether an earlier attempt was left without an answer.
 * @property {boolean} overtaken A newer vote of the same voter was counted meanwhile.
 * @property {boolean} tried Sent at least once, on whatever connection.
 * @property {boolean} sent On the present connection.
 * @property {number} deadline
 * @property {ReturnType<typeof setTimeout> | undefined} timer
 */

/**
 * A connection to Tumulte that stays up. Events (`addEventListener`, or `on`, which hands over the detail alone):
 *
 * - `state` `{ state, retryInMs?, code?, reason? }`: idle, connecting, open, waiting (for the next try), closed;
 * - `hello` the server's greeting: `{ node, voter, role, time, pingMs, … }`;
 * - `unauthorized` a TumulteError: the token is bad or has expired; `setToken` and `connect` go on;
 * - `error` a TumulteError or an error thrown by a handler;
 * - each event of each campaign by its name, with `{ ...meta, data }`.
 */
export class Tumulte extends EventTarget {
  #url;
  #token;
  #voter;
  #WebSocket;
  #timing;
  /** @type {ConnectionState} */
  #state = "idle";
  /** @type {WebSocket | null} */
  #socket = null;
  #greeted = false;
  #greetedAt = 0;
  #attempts = 0;
  #patient = false;
  #jitter;
  #offset = 0;
  #heardAt = 0;
  #pinged = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #reconnectTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watchTimer;
  #nextID = 1;
  /** @type {Map<string, Stream>} */
  #streams = new Map();
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  #wake = () => this.#checkNow();

  /** @param {Options} [options] */
  constructor(options = {}) {
    super();
    const origin = import.meta.url.startsWith("http") ? new URL("/", import.meta.url) : undefined;
    const base = options.url ?? origin;
    if (base === undefined) throw new TypeError("Tumulte: `url` is needed where the module was not loaded over HTTP");
    this.#url = new URL(base);
    this.#token = options.token;
    this.#voter = options.voter;
    this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
    this.#timing = { ...defaultTiming, ...options.timing };
    this.#jitter = this.#timing.jitter;
  }

  /** @returns {ConnectionState} */
  get state() { return this.#state; }
  /** The server's clock in milliseconds since the Unix epoch, as well as this client knows it. */
  now() { return Date.now() + this.#offset; }

  /**
   * Listens; returns a function that stops it.
   *
   * @param {string} type
   * @param {(detail: any) => void} listener
   * @returns {() => void}
   */
  on(type, listener) {
    const wrapped = (/** @type {any} */ event) => listener(event.detail);
    this.addEventListener(type, wrapped);
    return () => this.removeEventListener(type, wrapped);
  }

  /** Opens the connection and keeps it open until `close`. Does nothing where it is open or on its way. */
  connect() {
    if (this.#state === "connecting" || this.#state === "open") return;
    if (typeof this.#WebSocket !== "function") {
      throw new TypeError("Tumulte: this platform has no WebSocket; pass one in the options");
    }
    clearTimeout(this.#reconnectTimer);
    globalThis.addEventListener?.("online", this.#wake);
    globalThis.document?.addEventListener("visibilitychange", this.#wake);
    this.#open();
  }

  /** Ends everything: no new connection, and what waits for a reply is refused with `closed`. */
  close() {
    this.#stop("closed", new TumulteError("closed", "the client was closed"));
  }

  /** The token for the next connection. @param {string | undefined} token */
  setToken(token) { this.#token = token; }

  /**
   * Follows a campaign, from now until its `close()`. May be called before `connect`.
   *
   * @param {string} campaign
   * @param {Handlers} [handlers]
   * @returns {Subscription}
   */
  subscribe(campaign, handlers = {}) {
    let stream = this.#streams.get(campaign);
    if (!stream) {
      stream = {
        campaign, position: null, poll: null, late: true, live: false, stale: true, refused: null, refusals: 0,
        retry: undefined, subscriptions: new Set(),
      };
      this.#streams.set(campaign, stream);
      if (this.#greeted) this.#sendSubscribe(stream);
    } else if (stream.refused && this.#greeted) {
      stream.refused = null;
      this.#sendSubscribe(stream);
    }
    const subscription = new Subscription(stream, handlers, (one) => this.#unsubscribe(one));
    stream.subscriptions.add(subscription);
    if (stream.position) {
      // A second follower of a campaign starts with what the first one has already seen.
      const meta = { campaign, ...stream.position, at: null, event: "subscribed" };
      const { poll } = stream;
      queueMicrotask(() => {
        if (!stream.subscriptions.has(subscription)) return;
        this.#call(subscription, "subscribed", { recovered: false, poll }, meta);
        this.#call(subscription, "change", poll, meta);
      });
    }
    return subscription;
  }

  /**
   * Votes. Resolves once the vote is durable, also over a broken connection; a key is made where none is given.
   *
   * @param {{ campaign: string, poll: string, option: number, voter?: string, channel?: string, key?: string }} vote
   * @returns {Promise<{ status: VoteStatus, epoch: number, seq: number }>}
   * @throws {TumulteError} Refused; or without an answer in 30 s (`unknown` is true: it may have counted).
   */
  vote({ campaign, poll, option, voter, channel, key = newKey() }) {
    const message = { op: "vote", campaign, poll, option, voter, channel, key };
    return this.#command(message, true).then(({ status, epoch, seq }) => ({ status, epoch, seq }));
  }

  /**
   * Sends a message to every subscriber of a campaign (its owner, or a service).
   *
   * @param {string} campaign
   * @param {string} name
   * @param {any} data Up to 16 KiB as JSON.
   * @returns {Promise<Position>}
   * @throws {TumulteError} Where the connection broke before the answer, `disconnected`: it may have been sent.
   */
  signal(campaign, name, data = null) {
    const message = { op: "signal", campaign, name, data };
    return this.#command(message, false).then(({ epoch, seq }) => ({ epoch, seq }));
  }

  /**
   * A request over HTTP, with the token and, for a POST, an Idempotency-Key; a POST that failed on the way is sent
   * again under the same key, three times at most.
   *
   * @param {string} method
   * @param {string} path As in `/v1/campaigns`.
   * @param {object} [body]
   * @returns {Promise<any>} The reply's `data`, or null where there is none.
   * @throws {TumulteError}
   */
  async request(method, path, body) {
    /** @type {Record<string, string>} */
    const headers = { accept: "application/json" };
    if (this.#token) headers.authorization = `Bearer ${this.#token}`;
    if (body !== undefined || method !== "GET") headers["content-type"] = "application/json";
    if (method === "POST") headers["idempotency-key"] = newKey();
    const repeatable = method === "GET" || method === "POST";
    for (let attempt = 1; ; attempt += 1) {
      let fault;
      try {
        return await this.#exchange(method, path, headers, body);
      } catch (thrown) {
        fault = thrown instanceof TumulteError
          ? thrown : new TumulteError("disconnected", "The server could not be reached.");
      }
      const hopeful = fault.unknown || fault.code === "overloaded" || fault.code === "unavailable";
      if (!repeatable || !hopeful || attempt === 3) throw fault;
      const wait = Math.min(fault.retryAfterMs ?? 250 * 2 ** attempt, 5000);
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  /** @param {string} method @param {string} path @param {Record<string, string>} headers @param {any} body */
  async #exchange(method, path, headers, body) {
    const reply = await fetch(new URL(path, this.#url), {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(this.#timing.connect),
    });
    const text = await reply.text();
    let parsed = null;
    try {
      if (text) parsed = JSON.parse(text);
    } catch {
      throw new TumulteError("internal", "The server's answer could not be read.", { status: reply.status });
    }
    if (reply.ok) return parsed?.data ?? null;
    const fault = parsed?.error ?? {};
    const after = Number(reply.headers.get("retry-after"));
    throw new TumulteError(fault.code ?? "internal", fault.message ?? `The server answered ${reply.status}.`, {
      status: reply.status, details: fault.details, requestId: fault.requestId,
      retryAfterMs: after > 0 ? after * 1000 : undefined,
    });
  }

  // The life of a connection

  #open() {
    const address = new URL("/v1/ws", this.#url);
    address.protocol = this.#url.protocol === "https:" || this.#url.protocol === "wss:" ? "wss:" : "ws:";
    this.#greeted = false;
    this.#pinged = false;
    this.#setState("connecting");
    const socket = new this.#WebSocket(address.href, "tumulte.v1.json");
    this.#socket = socket;
    this.#heardAt = Date.now();
    let sentAt = Date.now();
    // An old connection's last words must not touch the new one, hence the comparison in each listener.
    socket.onopen = () => {
      if (this.#socket !== socket) return;
      sentAt = Date.now();
      const streams = [...this.#streams.values()].filter((stream) => !stream.refused);
      for (const stream of streams) stream.late = false;
      this.#send({
        op: "hello", id: 0, token: this.#token, voter: this.#voter,
        subscriptions: streams.map(({ campaign, position }) => ({ campaign, after: position ?? undefined })),
      });
    };
    socket.onerror = () => {}; // the close that follows says it all
    socket.onmessage = (event) => {
      if (this.#socket !== socket) return;
      this.#heardAt = Date.now();
      this.#pinged = false;
      let message;
      try {
        message = JSON.parse(event.data);
      } catch {
        this.#report(new TumulteError("internal", "the server sent something that is not JSON"));
        return;
      }
      this.#receive(message, sentAt);
    };
    socket.onclose = (event) => {
      if (this.#socket === socket) this.#lost(event.code, event.reason);
    };
    this.#watch(this.#timing.connect);
  }

  /** Gives the connection up without waiting for the server. @param {string} reason */
  #abandon(reason) {
    const socket = this.#socket;
    this.#lost(1006, reason);
    socket?.close();
  }

  /** The connection is gone: decides whether and when to try again. @param {number} code @param {string} reason */
  #lost(code, reason) {
    const lived = this.#greeted ? Date.now() - this.#greetedAt : -1;
    this.#detach();
    const fault = finalCloses.get(code);
    if (fault) {
      const error = new TumulteError(fault, reason || (code === 4401
        ? "the token is missing, bad or has expired" : "the server did not understand this client"));
      this.#stop("closed", error, code);
      this.dispatchEvent(new ClientEvent(code === 4401 ? "unauthorized" : "error", error));
      return;
    }
    const pressed = (code === 4429 || code === 4503) && lived < this.#timing.longest;
    if (lived >= 0 && !pressed) this.#attempts = 0;
    for (const [id, entry] of this.#pending) {
      if (!entry.sent) continue;
      entry.sent = false;
      entry.doubtful = true;
      if (!entry.repeatable) {
        this.#settle(id)?.reject(new TumulteError("disconnected", "the connection broke before the answer"));
      }
    }
    const drain = code === 1001 ? /\bretry=(\d{1,6})\b/.exec(reason) : null;
    const { first, longest } = this.#timing;
    const wait = drain ? Number(drain[1]) : Math.max(0,
      Math.min(longest, first * 2 ** this.#attempts) + (Math.random() * 2 - 1) * this.#jitter);
    this.#patient = pressed || drain !== null;
    if (!drain) this.#attempts = Math.min(this.#attempts + 1, 16);
    this.#reconnectTimer = setTimeout(() => this.#open(), wait);
    this.#setState("waiting", { retryInMs: Math.round(wait), code, reason });
  }

  #detach() {
    clearTimeout(this.#watchTimer);
    this.#socket = null;
    this.#greeted = false;
    for (const stream of this.#streams.values()) {
      stream.live = false;
      clearTimeout(stream.retry);
      this.#setStale(stream, true);
    }
  }

  /** @param {ConnectionState} state @param {TumulteError} error @param {number} [code] */
  #stop(state, error, code) {
    const socket = this.#socket;
    clearTimeout(this.#reconnectTimer);
    globalThis.removeEventListener?.("online", this.#wake);
    globalThis.document?.removeEventListener("visibilitychange", this.#wake);
    this.#detach();
    socket?.close(1000);
    this.#attempts = 0;
    for (const [id, entry] of this.#pending) {
      const unknown = entry.sent || entry.doubtful;
      this.#settle(id)?.reject(new TumulteError(error.code, error.message, { unknown }));
    }
    this.#setState(state, { code, reason: error.message });
  }

  /** Looks after the connection: a greeting that does not come, a silence that lasts. @param {number} wait */
  #watch(wait) {
    clearTimeout(this.#watchTimer);
    this.#watchTimer = setTimeout(() => {
      const { connect, silence, reply } = this.#timing;
      const quiet = Date.now() - this.#heardAt;
      if (!this.#greeted) {
        if (quiet >= connect) this.#abandon("no greeting");
        else this.#watch(connect - quiet + 1);
      } else if (this.#pinged) {
        this.#abandon("silence");
      } else if (quiet >= silence) {
        this.#ping();
      } else {
        this.#watch(silence - quiet + 1);
      }
    }, wait);
  }

  #ping() {
    this.#pinged = true;
    this.#send({ op: "ping", id: 0 });
    this.#watch(this.#timing.reply);
  }

  /** The page is shown again or the network is back: timers may have slept, so ask now. */
  #checkNow() {
    if (globalThis.document?.visibilityState === "hidden") return;
    if (this.#state === "waiting") {
      // The wait that a draining or pressed server asked for stays; a plain backoff ends early.
      if (!this.#patient) {
        clearTimeout(this.#reconnectTimer);
        this.#reconnectTimer = setTimeout(() => this.#open(), Math.random() * this.#jitter);
      }
    } else if (this.#greeted && !this.#pinged && Date.now() - this.#heardAt > this.#timing.reply) {
      this.#ping();
    }
  }

  /** @param {any} message */
  #send(message) {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message));
  }

  // What arrives

  /** @param {any} message @param {number} sentAt */
  #receive(message, sentAt) {
    switch (message.op) {
      case "hello": return this.#welcomed(message, sentAt);
      case "subscribed": return this.#subscribed(message);
      case "event": return this.#event(message);
      case "ack": return this.#acknowledged(message);
      case "error": return this.#refused(message);
      default: // unsubscribed, pong, and what later versions may add
    }
  }

  /** @param {any} hello @param {number} sentAt */
  #welcomed(hello, sentAt) {
    this.#greeted = true;
    this.#greetedAt = Date.now();
    const serverTime = Date.parse(hello.time);
    if (Number.isFinite(serverTime)) this.#offset = Math.round(serverTime - (sentAt + this.#greetedAt) / 2);
    if (hello.jitterMs >= 0 && this.#timing.jitter === defaultTiming.jitter) this.#jitter = hello.jitterMs;
    this.#setState("open");
    this.dispatchEvent(new ClientEvent("hello", hello));
    // Subscribed to between the hello's departure and its answer.
    for (const stream of this.#streams.values()) {
      if (stream.late && !stream.refused) this.#sendSubscribe(stream);
    }
    for (const id of [...this.#pending.keys()]) this.#transmit(id);
    this.#watch(this.#timing.silence);
  }

  /** @param {any} message */
  #subscribed(message) {
    const stream = this.#streams.get(message.campaign);
    if (!stream) return;
    const position = { epoch: message.epoch, seq: message.seq };
    stream.live = true;
    stream.refusals = 0;
    const meta = { campaign: stream.campaign, ...position, at: null, event: "subscribed" };
    const behind = stream.position !== null && isAhead(stream.position, position);
    if (!message.recovered && !behind) {
      stream.position = position;
      stream.poll = message.poll ?? null;
    }
    // Behind what was seen: keep that, flagged, until the server has caught up.
    this.#setStale(stream, behind);
    if (behind) return;
    const data = { recovered: message.recovered === true, poll: stream.poll };
    this.#publish(stream, "subscribed", data, meta, !message.recovered);
  }

  /** @param {any} message */
  #event(message) {
    const stream = this.#streams.get(message.campaign);
    const position = { epoch: message.epoch, seq: message.seq };
    if (!stream?.live || !isAhead(position, stream.position)) return;
    stream.position = position;
    this.#setStale(stream, false);
    const before = stream.poll;
    stream.poll = applyPollEvent(before, message.event, message.data, position);
    const meta = { campaign: stream.campaign, ...position, at: message.at, event: message.event };
    this.#publish(stream, message.event, message.data, meta, stream.poll !== before);
  }

  /** @param {any} message */
  #refused(message) {
    const error = new TumulteError(message.code, message.message, { retryAfterMs: message.retryAfterMs });
    const id = typeof message.id === "number" ? message.id : -1;
    const entry = this.#pending.get(id);
    const stream = entry ? undefined : this.#streams.get(message.campaign);
    if (message.campaign && !entry && (!stream || error.code === "conflict")) {
      // The late answer to a subscription that was given up; where another was made since, that has its own answer.
    } else if (stream) {
      this.#subscriptionRefused(stream, error);
    } else if (entry) {
      this.#commandRefused(id, entry, error);
    } else if (id === 0 && !this.#greeted) {
      // The greeting itself was refused; what may pass is tried again, the rest waits for somebody to act.
      if (retryable.has(error.code)) return this.#abandon(error.message);
      this.#stop("closed", error);
      this.dispatchEvent(new ClientEvent(error.code === "unauthorized" ? "unauthorized" : "error", error));
    } else {
      this.#report(error);
    }
  }

  // Subscriptions

  /** @param {Stream} stream */
  #sendSubscribe(stream) {
    stream.late = false;
    this.#send({
      op: "subscribe", id: this.#nextID++, campaign: stream.campaign, after: stream.position ?? undefined,
    });
  }

  /** @param {Stream} stream @param {TumulteError} error */
  #subscriptionRefused(stream, error) {
    stream.live = false;
    this.#setStale(stream, true);
    if (retryable.has(error.code)) {
      const wait = error.retryAfterMs ?? Math.min(this.#timing.longest, this.#timing.first * 2 ** stream.refusals);
      stream.refusals = Math.min(stream.refusals + 1, 16);
      clearTimeout(stream.retry);
      stream.retry = setTimeout(() => {
        if (this.#greeted && !stream.live && this.#streams.get(stream.campaign) === stream) this.#sendSubscribe(stream);
      }, wait);
      return;
    }
    stream.refused = error;
    for (const subscription of [...stream.subscriptions]) this.#call(subscription, "error", error);
  }

  /** @param {Subscription} subscription */
  #unsubscribe(subscription) {
    const stream = this.#streams.get(subscription.campaign);
    if (!stream?.subscriptions.delete(subscription) || stream.subscriptions.size > 0) return;
    clearTimeout(stream.retry);
    this.#streams.delete(stream.campaign);
    if (this.#greeted) this.#send({ op: "unsubscribe", id: this.#nextID++, campaign: stream.campaign });
  }

  /** @param {Stream} stream @param {boolean} stale */
  #setStale(stream, stale) {
    if (stream.stale === stale) return;
    stream.stale = stale;
    for (const subscription of [...stream.subscriptions]) this.#call(subscription, "stale", stale);
  }

  /** @param {Stream} stream @param {string} type @param {any} data @param {EventMeta} meta @param {boolean} changed */
  #publish(stream, type, data, meta, changed) {
    for (const subscription of [...stream.subscriptions]) {
      this.#call(subscription, type, data, meta);
      if (changed) this.#call(subscription, "change", stream.poll, meta);
    }
    this.dispatchEvent(new ClientEvent(type, { ...meta, data }));
  }

  /** @param {Subscription} subscription @param {string} type @param {...any} values */
  #call(subscription, type, ...values) {
    try {
      /** @type {any} */ (subscription.handlers)[type]?.(...values);
    } catch (error) {
      this.#report(error);
    }
  }

  // Commands

  /** @param {object} message @param {boolean} repeatable @returns {Promise<any>} */
  #command(message, repeatable) {
    if (this.#state === "closed") return Promise.reject(new TumulteError("closed", "the client is closed"));
    const id = this.#nextID++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, {
        message, resolve, reject, repeatable, doubtful: false, overtaken: false, tried: false, sent: false,
        timer: undefined, deadline: Date.now() + this.#timing.command,
      });
      this.#transmit(id);
    });
  }

  /** Sends a pending command where that is possible now, and sets its next timer. @param {number} id */
  #transmit(id) {
    const entry = this.#pending.get(id);
    if (!entry) return;
    const left = entry.deadline - Date.now();
    if (left <= 0) {
      const unknown = entry.sent || entry.doubtful;
      this.#settle(id)?.reject(new TumulteError("timeout", "no answer in time", { unknown }));
      return;
    }
    let wait = left;
    if (this.#greeted) {
      entry.doubtful ||= entry.sent;
      if (entry.tried && this.#isOvertaken(id, entry)) {
        this.#settle(id)?.reject(new TumulteError("disconnected", "a newer vote of the same voter overtook this one"));
        return;
      }
      if (!entry.sent || entry.repeatable) this.#send({ ...entry.message, id });
      entry.sent = entry.tried = true;
      if (entry.repeatable) wait = Math.min(left, this.#timing.reply);
    }
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => this.#transmit(id), wait);
  }

  /** @param {any} ack */
  #acknowledged(ack) {
    const entry = this.#settle(ack.id);
    if (!entry) return;
    for (const [older, waiting] of this.#pending) {
      if (older > ack.id) break;
      waiting.overtaken ||= rivals(waiting.message, entry.message);
    }
    entry.resolve(ack);
  }

  /** @param {number} id @param {Pending} entry @param {TumulteError} error */
  #commandRefused(id, entry, error) {
    const wait = Math.max(error.retryAfterMs ?? 500, 50);
    const inTime = Date.now() + wait < entry.deadline;
    if (entry.repeatable && retryable.has(error.code) && inTime && !this.#isOvertaken(id, entry)) {
      entry.doubtful ||= undecided.has(error.code);
      entry.sent = false;
      clearTimeout(entry.timer);
      entry.timer = setTimeout(() => this.#transmit(id), wait);
      return;
    }
    this.#settle(id);
    error.unknown ||= entry.doubtful;
    entry.reject(error);
  }

  /**
   * Whether sending this vote again would undo a newer one of the same voter.
   *
   * @param {number} id
   * @param {Pending} entry
   */
  #isOvertaken(id, { message, overtaken }) {
    const poll = this.#streams.get(message.campaign)?.poll;
    if (poll?.id === message.poll && poll.type === "STANDARD") return false;
    if (overtaken) return true;
    for (const [other, newer] of this.#pending) {
      if (other > id && newer.sent && rivals(message, newer.message)) return true;
    }
    return false;
  }

  /** Takes a command out of the waiting ones. @param {any} id */
  #settle(id) {
    const entry = this.#pending.get(id);
    if (!entry) return undefined;
    clearTimeout(entry.timer);
    this.#pending.delete(id);
    return entry;
  }

  // Reports

  /** @param {ConnectionState} state @param {object} [more] */
  #setState(state, more = {}) {
    this.#state = state;
    this.dispatchEvent(new ClientEvent("state", { state, ...more }));
  }

  /** @param {unknown} error */
  #report(error) {
    this.dispatchEvent(new ClientEvent("error", error));
  }
}
