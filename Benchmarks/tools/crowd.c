// crowd: many WebSocket subscribers of one campaign in one process, each checked by itself (Linux, epoll).
//
//   cc -O2 -o crowd crowd.c
//   crowd PORT CAMPAIGN SUBSCRIBERS        steered by lines on stdin, answers by lines on stdout:
//       (start)        → ready N           all are subscribed
//       vote POLL M    → voted M           the first M have voted (each as a voter of its own) and were acknowledged
//       end [TOTAL]    → end {…}           all have poll:end; counts of what went wrong, all 0 when nothing was lost;
//                                          TOTAL: votes of the poll, where others have voted too
//   crowd PORT CAMPAIGN churn COUNT        connects, subscribes and closes COUNT times → churned COUNT
//
// Each subscriber must get poll:start once, poll:end once and last, updates between them, rising positions, and an
// end that holds every vote.

#define _GNU_SOURCE
#include "ws.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>

enum { BUFFER = 64 << 10, PATIENCE_MS = 60000 };

typedef struct {
    int fd;
    u8 subscribed, acked, gone, disorder;
    u32 starts, updates, ends, rest_size;
    u64 epoch, seq, end_total;
    u8 *rest;
} Subscriber;

static Subscriber *all;
static int count, ready, voted, ended, votes;
static int queue;
static u64 first_end, last_end, cancel_at;

static u64 number_after(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static void on_event(Subscriber *s, const char *text) {
    u64 epoch = number_after(text, "\"epoch\":"), seq = number_after(text, "\"seq\":");
    if (epoch < s->epoch || (epoch == s->epoch && seq <= s->seq) || s->ends) s->disorder = 1;
    s->epoch = epoch, s->seq = seq;
    if (strstr(text, "\"poll:update\"")) {
        s->updates++;
        if (!s->starts) s->disorder = 1;
    } else if (strstr(text, "\"poll:start\"")) s->starts++;
    else if (strstr(text, "\"poll:end\"")) {
        if (!s->ends++) ended++;
        s->end_total = number_after(text, "\"totalVotes\":");
        last_end = ws_now();
        if (!first_end) first_end = last_end;
    }
}

static void on_message(Subscriber *s, WSMessage m) {
    if (m.opcode == 9) { // ping
        u8 frame[200];
        ws_send_all(s->fd, frame, ws_frame(frame, 10, m.payload, m.count > 125 ? 0 : m.count));
        return;
    }
    if (m.opcode == 8) {
        s->gone = 1;
        return;
    }
    char text[BUFFER];
    size_t size = m.count < sizeof text - 1 ? m.count : sizeof text - 1;
    memcpy(text, m.payload, size);
    text[size] = 0;
    if (strstr(text, "\"op\":\"event\"")) on_event(s, text);
    else if (strstr(text, "\"op\":\"subscribed\"")) {
        if (!s->subscribed) s->subscribed = 1, ready++;
        s->epoch = number_after(text, "\"epoch\":"), s->seq = number_after(text, "\"seq\":");
    } else if (strstr(text, "\"op\":\"ack\"")) {
        if (!s->acked) s->acked = 1, voted++;
    } else {
        fprintf(stderr, "unexpected: %.200s\n", text);
        exit(1);
    }
}

static void on_readable(Subscriber *s) {
    static u8 bytes[BUFFER * 2];
    memcpy(bytes, s->rest, s->rest_size);
    ssize_t got = recv(s->fd, bytes + s->rest_size, BUFFER, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        s->gone = 1;
        epoll_ctl(queue, EPOLL_CTL_DEL, s->fd, NULL);
        return;
    }
    size_t have = s->rest_size + (size_t)got, at = 0, took;
    WSMessage message;
    while ((took = ws_cut(bytes + at, have - at, &message))) {
        on_message(s, message);
        at += took;
    }
    s->rest_size = (u32)(have - at);
    if (!s->rest_size) return;
    if (s->rest_size > BUFFER || !(s->rest = realloc(s->rest, s->rest_size))) ws_die("a message is too long");
    memcpy(s->rest, bytes + at, s->rest_size);
}

static void turn(int milliseconds) {
    struct epoll_event events[512];
    int n = epoll_wait(queue, events, 512, milliseconds);
    for (int i = 0; i < n; i++) on_readable(events[i].data.ptr);
}

static void await(const int *value, int goal, const char *what) {
    u64 deadline = ws_now() + PATIENCE_MS * 1000000ull;
    while (*value < goal) {
        turn(100);
        if (ws_now() > deadline) {
            int gone = 0;
            for (int i = 0; i < count; i++) gone += all[i].gone;
            fprintf(stderr, "only %d of %d %s after %d s; %d connections were closed\n", *value, goal, what, PATIENCE_MS / 1000, gone);
            exit(1);
        }
    }
}

static void say_text(int fd, const char *text) {
    u8 frame[1024];
    ws_send_all(fd, frame, ws_frame(frame, 1, text, strlen(text)));
}

static void subscribe(int fd, const char *campaign) {
    char text[200];
    snprintf(text, sizeof text, "{\"op\":\"subscribe\",\"id\":1,\"campaign\":\"%s\"}", campaign);
    say_text(fd, text);
}

static void churn(int port, const char *campaign, int times) {
    for (int done = 0; done < times; done++) {
        int fd = ws_open(port, "/v1/ws", "tumulte.v1.json", NULL);
        subscribe(fd, campaign);
        char byte;
        if (recv(fd, &byte, 1, 0) != 1) ws_die("no answer to a subscription");
        // Half are closed politely, half vanish.
        if (done & 1) {
            u8 frame[20], code[2] = {1000 >> 8, 1000 & 255};
            ws_send_all(fd, frame, ws_frame(frame, 8, code, 2));
        } else {
            struct linger now = {1, 0};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        }
        close(fd);
    }
    printf("churned %d\n", times);
}

static void command(char *line, const char *campaign) {
    char poll[64];
    if (sscanf(line, "vote %63s %d", poll, &votes) == 2) {
        for (int i = 0; i < votes && i < count; i++) {
            char text[400];
            snprintf(text, sizeof text, "{\"op\":\"vote\",\"id\":2,\"campaign\":\"%s\",\"poll\":\"%s\",\"option\":%d,\"voter\":\"crowd-%d\"}",
                     campaign, poll, i % 2, i);
            say_text(all[i].fd, text);
            if (!(i & 255)) turn(0);
        }
        await(&voted, votes, "votes were acknowledged");
        printf("voted %d\n", voted);
    } else if (!strncmp(line, "cancelling", 10)) {
        cancel_at = ws_now();
        printf("cancelling\n");
    } else if (!strncmp(line, "end", 3)) {
        sscanf(line, "end %d", &votes);
        await(&ended, count, "subscribers saw the end");
        u64 starts = 0, ends = 0, updates = 0, fewest = ~0ull;
        int lost_start = 0, lost_end = 0, no_update = 0, disorder = 0, wrong = 0, gone = 0;
        for (int i = 0; i < count; i++) {
            Subscriber *s = &all[i];
            starts += s->starts, ends += s->ends, updates += s->updates;
            if (s->updates < fewest) fewest = s->updates;
            lost_start += s->starts != 1, lost_end += s->ends != 1, no_update += !s->updates;
            disorder += s->disorder, wrong += s->end_total != (u64)votes, gone += s->gone;
        }
        printf("end {\"subscribers\":%d,\"updates\":%llu,\"fewestUpdates\":%llu,\"wrongStarts\":%d,\"wrongEnds\":%d,"
               "\"withoutUpdate\":%d,\"disorder\":%d,\"wrongTotals\":%d,\"gone\":%d,\"endMs\":%.1f,\"spreadMs\":%.1f}\n",
               count, (unsigned long long)updates, (unsigned long long)fewest, lost_start, lost_end, no_update, disorder,
               wrong, gone, cancel_at ? (double)(last_end - cancel_at) / 1e6 : 0.0, (double)(last_end - first_end) / 1e6);
    }
    fflush(stdout);
}

int main(int argc, char **argv) {
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (argc < 4) return fprintf(stderr, "usage: crowd PORT CAMPAIGN SUBSCRIBERS | crowd PORT CAMPAIGN churn COUNT\n"), 2;
    int port = atoi(argv[1]);
    const char *campaign = argv[2];
    ws_raise_descriptor_limit();
    if (!strcmp(argv[3], "churn")) {
        churn(port, campaign, argc > 4 ? atoi(argv[4]) : 1000);
        return 0;
    }
    count = atoi(argv[3]);
    all = calloc((size_t)count, sizeof *all);
    queue = epoll_create1(0);
    for (int i = 0; i < count; i++) {
        all[i].fd = ws_open(port, "/v1/ws", "tumulte.v1.json", NULL);
        subscribe(all[i].fd, campaign);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        if (epoll_ctl(queue, EPOLL_CTL_ADD, all[i].fd, &event) < 0) ws_die("epoll_ctl");
        if (!(i & 63)) turn(0);
    }
    await(&ready, count, "are subscribed");
    printf("ready %d\n", ready);
    fflush(stdout);
    // The steering pipe is polled beside the sockets: between its lines the crowd goes on reading.
    struct pollfd steering = {.fd = 0, .events = POLLIN};
    char line[256];
    for (;;) {
        turn(20);
        if (poll(&steering, 1, 0) <= 0) continue;
        size_t size = 0;
        while (size < sizeof line - 1) {
            ssize_t got = read(0, line + size, 1);
            if (got <= 0) return 0;
            if (line[size++] == '\n') break;
        }
        line[size] = 0;
        command(line, campaign);
    }
}
