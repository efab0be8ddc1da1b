// A disk in trouble, for a PostgreSQL of a test: preloaded into the server, it looks into the folder TROUBLE before each
// call. While that holds a file of one of these names:
//
//   slow      each sync takes a quarter of a second
//   full      files of tables cannot grow
//   full-log  nothing can be written to the write-ahead log
//
//   cc -shared -fPIC -O1 -o disk_trouble.so disk_trouble.c -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int is_there(const char *what) {
    const char *folder = getenv("TROUBLE");
    char path[512];
    if (!folder) return 0;
    snprintf(path, sizeof path, "%s/%s", folder, what);
    int before = errno, there = access(path, F_OK) == 0;
    errno = before;
    return there;
}

static int is_below(int fd, const char *folder) {
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    return strstr(path, folder) != NULL;
}

static int is_refused(int fd, off_t end) {
    if (is_there("full-log") && is_below(fd, "/pg_wal/")) return 1;
    struct stat now;
    return is_there("full") && is_below(fd, "/base/") && fstat(fd, &now) == 0 && end > now.st_size;
}

static size_t total(const struct iovec *parts, int count) {
    size_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += parts[i].iov_len;
    return bytes;
}

#define NEXT(name) __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define REFUSE do { errno = ENOSPC; return -1; } while (0)

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
    NEXT(pwrite);
    if (is_refused(fd, at + (off_t)size)) REFUSE;
    return next(fd, bytes, size, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    NEXT(pwrite64);
    if (is_refused(fd, at + (off_t)size)) REFUSE;
    return next(fd, bytes, size, at);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    NEXT(pwritev);
    if (is_refused(fd, at + (off_t)total(parts, count))) REFUSE;
    return next(fd, parts, count, at);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
    NEXT(pwritev64);
    if (is_refused(fd, at + (off_t)total(parts, count))) REFUSE;
    return next(fd, parts, count, at);
}
int posix_fallocate(int fd, off_t at, off_t size) {
    NEXT(posix_fallocate);
    return is_refused(fd, at + size) ? ENOSPC : next(fd, at, size);
}
int posix_fallocate64(int fd, off64_t at, off64_t size) {
    NEXT(posix_fallocate64);
    return is_refused(fd, at + size) ? ENOSPC : next(fd, at, size);
}

static void linger(void) {
    struct timespec quarter = {0, 250000000};
    if (is_there("slow")) nanosleep(&quarter, NULL);
}
int fdatasync(int fd) {
    NEXT(fdatasync);
    linger();
    return next(fd);
}
int fsync(int fd) {
    NEXT(fsync);
    linger();
    return next(fd);
}
