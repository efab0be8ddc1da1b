// A WebSocket client's bare needs for the measuring tools: dial, handshake, frames. Linux and macOS, libc only.
// Blocking until `ws_open` returns; what comes after is up to the tool.

#ifndef WS_H
#define WS_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

static u64 ws_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

static void ws_die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static void ws_raise_descriptor_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void ws_send_all(int fd, const void *bytes, size_t count) {
    const char *at = bytes;
    while (count) {
        ssize_t sent = send(fd, at, count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) ws_die("send");
        at += sent, count -= (size_t)sent;
    }
}

// Opens a connection to 127.0.0.1:port and does the handshake on `path`; `subprotocol` and `header` may be NULL
// (`header` is a whole line without its end). Gives a blocking socket.
static int ws_open(int port, const char *path, const char *subprotocol, const char *header) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval patience = {.tv_sec = 30};
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) ws_die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char head[1024], reply[4096];
    int size = snprintf(head, sizeof head,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s%s%s%s%s\r\n",
                        path, port, subprotocol ? "Sec-WebSocket-Protocol: " : "", subprotocol ? subprotocol : "",
                        subprotocol ? "\r\n" : "", header ? header : "", header ? "\r\n" : "");
    ws_send_all(fd, head, (size_t)size);
    size_t have = 0;
    reply[0] = 0;
    // One byte at a time: nothing of what follows the handshake may be swallowed.
    while (have < sizeof reply - 1 && (have < 4 || memcmp(reply + have - 4, "\r\n\r\n", 4))) {
        ssize_t got = recv(fd, reply + have, 1, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) ws_die("handshake");
        have += (size_t)got, reply[have] = 0;
    }
    if (strncmp(reply, "HTTP/1.1 101", 12)) {
        fprintf(stderr, "the handshake was refused: %.60s\n", reply);
        exit(1);
    }
    return fd;
}

// Writes a masked frame (its key is zero, which the standard allows) to `out`; gives its size. `out` needs count + 14.
static size_t ws_frame(u8 *out, int opcode, const void *payload, size_t count) {
    size_t head = 2;
    out[0] = (u8)(0x80 | opcode);
    if (count < 126) out[1] = (u8)(0x80 | count);
    else if (count < 65536) out[1] = 0x80 | 126, out[2] = (u8)(count >> 8), out[3] = (u8)count, head = 4;
    else {
        out[1] = 0x80 | 127, head = 10;
        for (int i = 0; i < 8; i++) out[2 + i] = (u8)((u64)count >> (56 - 8 * i));
    }
    memset(out + head, 0, 4);
    memcpy(out + head + 4, payload, count);
    return head + 4 + count;
}

typedef struct {
    int opcode;
    u8 *payload;
    size_t count;
} WSMessage;

// Cuts the next whole frame off `bytes`; gives how many bytes it took, 0 if it is not whole yet.
static size_t ws_cut(u8 *bytes, size_t count, WSMessage *message) {
    if (count < 2) return 0;
    size_t head = 2, length = bytes[1] & 0x7f;
    if (length == 126) {
        if (count < 4) return 0;
        length = (size_t)bytes[2] << 8 | bytes[3], head = 4;
    } else if (length == 127) {
        if (count < 10) return 0;
        length = 0, head = 10;
        for (int i = 0; i < 8; i++) length = length << 8 | bytes[2 + i];
    }
    if (count - head < length) return 0;
    *message = (WSMessage){bytes[0] & 15, bytes + head, length};
    return head + length;
}

#endif
