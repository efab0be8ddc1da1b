// voteload: votes of distinct voters over WebSocket, closed loop, in either subprotocol (Linux, epoll).
//
//   cc -O2 -o voteload voteload.c
//   voteload --port P --campaign ID --poll ID [--conns 100] [--window 8] [--seconds 5] [--warmup 1] [--options 3]
//            [--binary] [--echo] [--path /v1/ws] [--first N]
//
// Each connection keeps `window` votes outstanding; every vote has a voter of its own. --echo takes any reply for an
// ack: for a server that only sends back what it gets (wslimit /echo), the bare cost of the same messages. Prints one
// line of JSON: acknowledged votes a second, and the latency in µs from the write to the ack. Exit 1 on any refusal.

#define _GNU_SOURCE
#include "ws.h"
#include <getopt.h>
#include <sys/epoll.h>

enum { BUFFER = 256 << 10, WINDOW_LIMIT = 1024, BUCKETS = 1 << 20 };

typedef struct {
    int fd;
    u64 next; // id of the next vote
    u8 *rest;
    size_t rest_size;
    u64 sent_at[WINDOW_LIMIT]; // by id modulo the window's limit
} Connection;

static int binary, echo, options = 3, window = 8;
static u8 campaign_bytes[16], poll_bytes[16];
static char json_head[256];
static int json_head_size;
static u64 voter, acked, refused;
static u32 *latency; // one bucket a microsecond, the last for all above
static int measuring;

static void parse_uuid(const char *text, u8 *out) {
    int digits = 0;
    for (; *text && digits < 32; text++) {
        int value = *text >= '0' && *text <= '9' ? *text - '0' : *text >= 'a' && *text <= 'f' ? *text - 'a' + 10 : -1;
        if (value < 0) continue;
        if (digits & 1) out[digits / 2] |= (u8)value;
        else out[digits / 2] = (u8)(value << 4);
        digits++;
    }
    if (digits != 32) fprintf(stderr, "not a UUID\n"), exit(2);
}

static u8 *put_unsigned(u8 *at, u64 value) {
    while (value >= 0x80) *at++ = (u8)(value | 0x80), value >>= 7;
    *at++ = (u8)value;
    return at;
}

static int digits_of(u64 value, char *out) {
    char reversed[24];
    int count = 0, i = 0;
    do reversed[count++] = (char)('0' + value % 10);
    while (value /= 10);
    while (count) out[i++] = reversed[--count];
    return i;
}

static char *put_text(char *at, const char *text) {
    size_t size = strlen(text);
    memcpy(at, text, size);
    return at + size;
}

// One vote, framed, to `out`; gives its size.
static size_t make_vote(Connection *c, u8 *out) {
    u8 body[512];
    size_t size;
    u64 id = c->next++, me = voter++;
    c->sent_at[id % WINDOW_LIMIT] = ws_now();
    if (binary) { // kind 4, flags: integer id and voter
        u8 *at = body;
        char name[24];
        *at++ = 0x04, *at++ = 0x05;
        at = put_unsigned(at, id << 1);
        memcpy(at, campaign_bytes, 16), memcpy(at + 16, poll_bytes, 16), at += 32;
        at = put_unsigned(at, (me % (u64)options) << 1);
        int length = digits_of(me, name);
        *at++ = (u8)(length + 1), *at++ = 'v';
        memcpy(at, name, (size_t)length), at += length;
        size = (size_t)(at - body);
    } else {
        char *at = (char *)body;
        memcpy(at, json_head, (size_t)json_head_size), at += json_head_size;
        at += digits_of(me % (u64)options, at);
        at = put_text(at, ",\"voter\":\"v");
        at += digits_of(me, at);
        at = put_text(at, "\",\"id\":");
        at += digits_of(id, at);
        *at++ = '}';
        size = (size_t)(at - (char *)body);
    }
    return ws_frame(out, binary ? 2 : 1, body, size);
}

static u64 id_of(const WSMessage *m) {
    if (binary) { // an unsigned LEB128 at byte 2, zigzag
        u64 value = 0;
        for (size_t i = 2, shift = 0; i < m->count && shift < 63; i++, shift += 7) {
            value |= (u64)(m->payload[i] & 0x7f) << shift;
            if (!(m->payload[i] & 0x80)) break;
        }
        return value >> 1;
    }
    u8 *at = memmem(m->payload, m->count, "\"id\":", 5);
    u64 value = 0;
    if (at)
        for (at += 5; at < m->payload + m->count && *at >= '0' && *at <= '9'; at++) value = value * 10 + (u64)(*at - '0');
    return value;
}

static int is_ack(const WSMessage *m) {
    if (echo) return 1;
    if (binary) return m->count > 2 && m->payload[0] == 0x84;
    return memmem(m->payload, m->count, "\"op\":\"ack\"", 10) != NULL;
}

// Reads what has come; gives how many votes were answered.
static int on_readable(Connection *c) {
    static u8 bytes[BUFFER * 2];
    memcpy(bytes, c->rest, c->rest_size);
    ssize_t got = recv(c->fd, bytes + c->rest_size, BUFFER, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (got <= 0) ws_die("the server closed a connection");
    size_t have = c->rest_size + (size_t)got, at = 0, took;
    u64 now = ws_now();
    int answered = 0;
    WSMessage m;
    while ((took = ws_cut(bytes + at, have - at, &m))) {
        at += took;
        if (m.opcode == 9) {
            u8 frame[200];
            ws_send_all(c->fd, frame, ws_frame(frame, 10, m.payload, m.count > 125 ? 0 : m.count));
            continue;
        }
        if (m.opcode > 2) continue;
        answered++;
        if (!is_ack(&m)) {
            if (!refused++) fprintf(stderr, "refused: %.*s\n", (int)(m.count > 200 ? 200 : m.count), (char *)m.payload);
            continue;
        }
        if (!measuring) continue;
        acked++;
        u64 us = (now - c->sent_at[id_of(&m) % WINDOW_LIMIT]) / 1000;
        latency[us < BUCKETS ? us : BUCKETS - 1]++;
    }
    c->rest_size = have - at;
    if (c->rest_size) {
        if (!(c->rest = realloc(c->rest, c->rest_size))) ws_die("realloc");
        memcpy(c->rest, bytes + at, c->rest_size);
    }
    return answered;
}

static u64 quantile(double q) {
    u64 seen = 0, goal = (u64)((double)acked * q);
    for (u32 us = 0; us < BUCKETS; us++)
        if ((seen += latency[us]) > goal) return us;
    return BUCKETS;
}

static void refill(Connection *c, int votes) {
    static u8 out[WINDOW_LIMIT * 544];
    size_t size = 0;
    for (int i = 0; i < votes; i++) size += make_vote(c, out + size);
    if (size) ws_send_all(c->fd, out, size);
}

int main(int argc, char **argv) {
    int port = 8080, conns = 100, o;
    double seconds = 5, warmup = 1;
    const char *path = "/v1/ws", *campaign = NULL, *poll = NULL;
    static struct option flags[] = {{"port", 1, 0, 'p'},    {"campaign", 1, 0, 'c'}, {"poll", 1, 0, 'q'},   {"conns", 1, 0, 'n'},
                                    {"window", 1, 0, 'w'},  {"seconds", 1, 0, 's'},  {"warmup", 1, 0, 'u'}, {"options", 1, 0, 'o'},
                                    {"binary", 0, 0, 'b'},  {"echo", 0, 0, 'e'},     {"path", 1, 0, 'a'},   {"first", 1, 0, 'f'},
                                    {0, 0, 0, 0}};
    while ((o = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        if (o == 'p') port = atoi(optarg);
        else if (o == 'c') campaign = optarg;
        else if (o == 'q') poll = optarg;
        else if (o == 'n') conns = atoi(optarg);
        else if (o == 'w') window = atoi(optarg);
        else if (o == 's') seconds = atof(optarg);
        else if (o == 'u') warmup = atof(optarg);
        else if (o == 'o') options = atoi(optarg);
        else if (o == 'b') binary = 1;
        else if (o == 'e') echo = 1;
        else if (o == 'a') path = optarg;
        else if (o == 'f') voter = strtoull(optarg, NULL, 10);
        else return fprintf(stderr, "usage: see the head of voteload.c\n"), 2;
    }
    if (!campaign || !poll || window < 1 || window > WINDOW_LIMIT) return fprintf(stderr, "voteload: --campaign and --poll are needed, --window is 1 to %d\n", WINDOW_LIMIT), 2;
    parse_uuid(campaign, campaign_bytes), parse_uuid(poll, poll_bytes);
    json_head_size = snprintf(json_head, sizeof json_head, "{\"op\":\"vote\",\"campaign\":\"%s\",\"poll\":\"%s\",\"option\":", campaign, poll);
    latency = calloc(BUCKETS, sizeof *latency);
    ws_raise_descriptor_limit();
    Connection *all = calloc((size_t)conns, sizeof *all);
    int queue = epoll_create1(0);
    for (int i = 0; i < conns; i++) {
        all[i].fd = ws_open(port, path, echo ? NULL : binary ? "tumulte.v1.binary" : "tumulte.v1.json", NULL);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        if (epoll_ctl(queue, EPOLL_CTL_ADD, all[i].fd, &event) < 0) ws_die("epoll_ctl");
    }
    for (int i = 0; i < conns; i++) refill(&all[i], window);
    u64 begin = ws_now(), start = begin + (u64)(warmup * 1e9), end = start + (u64)(seconds * 1e9), last = begin;
    struct epoll_event events[512];
    for (u64 now = begin; now < end; now = ws_now()) {
        if (!measuring && now >= start) measuring = 1, start = now, end = now + (u64)(seconds * 1e9);
        int n = epoll_wait(queue, events, 512, 1000);
        if (n > 0) last = ws_now();
        if (ws_now() - last > 10000000000ull) return fprintf(stderr, "no reply for 10 s\n"), 1;
        for (int i = 0; i < n; i++) {
            Connection *c = events[i].data.ptr;
            refill(c, on_readable(c));
        }
    }
    double took = (double)(ws_now() - start) / 1e9;
    printf("{\"acksPerSecond\":%.0f,\"p50us\":%llu,\"p99us\":%llu,\"acks\":%llu,\"refused\":%llu}\n", (double)acked / took,
           (unsigned long long)quantile(0.5), (unsigned long long)quantile(0.99), (unsigned long long)acked,
           (unsigned long long)refused);
    return refused || !acked;
}
