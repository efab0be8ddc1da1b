#include "faultvfs.h"
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { FILES = 64, PATH = 256 };
typedef struct { unsigned char *bytes; sqlite3_int64 size; } Image;
typedef struct Write { struct Write *next; sqlite3_int64 offset; int count; unsigned char bytes[]; } Write;
typedef struct { char name[PATH]; int used, temporary; Image live, synced; Write *first, *last; } Node;
typedef struct { sqlite3_file base; Node *node; } File;

static Node nodes[FILES];
static int calls, failAt, failForever, fired, imageInDatabase;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int imageAt;
static char imageTo[PATH];
static uint64_t imageSeed;
static void crashLocked(const char *from, const char *to, uint64_t seed);

static int failing(const char *name, int isChange) {
    if (strncmp(name, "a.db", 4)) return 0;
    calls++;
    if (calls == imageAt) {
        imageInDatabase = isChange && !strcmp(name, "a.db");
        crashLocked("a.db", imageTo, imageSeed);
    }
    if (failAt < 0) fired++;
    if (failAt <= 0) return failAt < 0;
    if (--failAt > 0) return 0;
    if (failForever) failAt = -1;
    fired++;
    return 1;
}
static void resize(Image *image, sqlite3_int64 size) {
    if (size > image->size) {
        image->bytes = realloc(image->bytes, (size_t)size);
        memset(image->bytes + image->size, 0, (size_t)(size - image->size));
    }
    image->size = size;
}
static void put(Image *image, const void *bytes, int count, sqlite3_int64 offset) {
    if (offset + count > image->size) resize(image, offset + count);
    memcpy(image->bytes + offset, bytes, (size_t)count);
}
static void forget(Node *node) {
    for (Write *w = node->first; w;) { Write *next = w->next; free(w); w = next; }
    node->first = node->last = NULL;
}
static void copy(Image *to, const Image *from) {
    free(to->bytes);
    to->bytes = malloc((size_t)from->size + 1);
    if (from->size) memcpy(to->bytes, from->bytes, (size_t)from->size);
    to->size = from->size;
}
static void drop(Node *node) {
    forget(node); free(node->live.bytes); free(node->synced.bytes); memset(node, 0, sizeof *node);
}
static Node *find(const char *name, int create) {
    for (int i = 0; i < FILES; i++) if (nodes[i].used && !strcmp(nodes[i].name, name)) return &nodes[i];
    for (int i = 0; create && i < FILES; i++) if (!nodes[i].used) {
        nodes[i].used = 1; strncpy(nodes[i].name, name, PATH - 1); return &nodes[i];
    }
    return NULL;
}
// A node is only made for files that SQLite names; it never opens nameless ones with temp_store in memory.
static int fClose(sqlite3_file *f) { (void)f; return SQLITE_OK; }
static int fRead(sqlite3_file *f, void *out, int count, sqlite3_int64 offset) {
    pthread_mutex_lock(&lock);
    Image *image = &((File *)f)->node->live;
    sqlite3_int64 left = image->size - offset;
    int got = left <= 0 ? 0 : left < count ? (int)left : count;
    if (got) memcpy(out, image->bytes + offset, (size_t)got);
    memset((char *)out + got, 0, (size_t)(count - got));
    pthread_mutex_unlock(&lock);
    return got == count ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}
static int fWrite(sqlite3_file *f, const void *bytes, int count, sqlite3_int64 offset) {
    pthread_mutex_lock(&lock);
    Node *node = ((File *)f)->node;
    int code = failing(node->name, 1) ? SQLITE_FULL : SQLITE_OK;
    if (!code) {
        put(&node->live, bytes, count, offset);
        Write *w = malloc(sizeof *w + (size_t)count);
        w->next = NULL; w->offset = offset; w->count = count; memcpy(w->bytes, bytes, (size_t)count);
        if (node->last) node->last->next = w; else node->first = w;
        node->last = w;
    }
    pthread_mutex_unlock(&lock);
    return code;
}
static int fTruncate(sqlite3_file *f, sqlite3_int64 size) {
    pthread_mutex_lock(&lock);
    Node *node = ((File *)f)->node;
    int code = failing(node->name, 1) ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
    if (!code) resize(&node->live, size);
    pthread_mutex_unlock(&lock);
    return code;
}
static int fSync(sqlite3_file *f, int flags) {
    (void)flags;
    pthread_mutex_lock(&lock);
    Node *node = ((File *)f)->node;
    int code = failing(node->name, 1) ? SQLITE_IOERR_FSYNC : SQLITE_OK;
    if (!code) { copy(&node->synced, &node->live); forget(node); }
    pthread_mutex_unlock(&lock);
    return code;
}
static int fSize(sqlite3_file *f, sqlite3_int64 *size) { *size = ((File *)f)->node->live.size; return SQLITE_OK; }
static int fLock(sqlite3_file *f, int level) { (void)f; (void)level; return SQLITE_OK; }
static int fReserved(sqlite3_file *f, int *out) { (void)f; *out = 0; return SQLITE_OK; }
static int fControl(sqlite3_file *f, int op, void *arg) { (void)f; (void)op; (void)arg; return SQLITE_NOTFOUND; }
static int fSector(sqlite3_file *f) { (void)f; return 512; }
static int fTraits(sqlite3_file *f) { (void)f; return 0; }
// Version 1: no shared memory, so WAL works in exclusive locking mode only, which is what the journal uses.
static const sqlite3_io_methods methods = {1, fClose, fRead, fWrite, fTruncate, fSync, fSize, fLock, fLock,
    fReserved, fControl, fSector, fTraits, 0, 0, 0, 0, 0, 0};

static int vOpen(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *f, int flags, int *out) {
    (void)v;
    pthread_mutex_lock(&lock);
    f->pMethods = NULL;
    int code = !name || failing(name, 0) ? SQLITE_CANTOPEN : SQLITE_OK;
    if (!code && !find(name, flags & SQLITE_OPEN_CREATE)) code = SQLITE_CANTOPEN;
    if (!code) { ((File *)f)->node = find(name, 0); f->pMethods = &methods; if (out) *out = flags; }
    pthread_mutex_unlock(&lock);
    return code;
}
static int vDelete(sqlite3_vfs *v, const char *name, int sync) {
    (void)v; (void)sync;
    pthread_mutex_lock(&lock);
    Node *node = find(name, 0);
    if (node) drop(node);
    pthread_mutex_unlock(&lock);
    return SQLITE_OK;
}
static int vAccess(sqlite3_vfs *v, const char *name, int flags, int *out) {
    (void)v; (void)flags; *out = find(name, 0) != NULL; return SQLITE_OK;
}
static int vFull(sqlite3_vfs *v, const char *name, int count, char *out) {
    (void)v; sqlite3_snprintf(count, out, "%s", name); return SQLITE_OK;
}
static int vRandom(sqlite3_vfs *v, int count, char *out) { (void)v; memset(out, 7, (size_t)count); return count; }
static int vSleep(sqlite3_vfs *v, int us) { (void)v; return us; }
static int vTime(sqlite3_vfs *v, double *out) { (void)v; *out = 2460000.5; return SQLITE_OK; }
static int vError(sqlite3_vfs *v, int n, char *out) { (void)v; (void)n; (void)out; return 0; }
static sqlite3_vfs vfs = {1, sizeof(File), PATH, 0, "fault", 0, vOpen, vDelete, vAccess, vFull, 0, 0, 0, 0, vRandom,
    vSleep, vTime, vError};

void faultvfs_reset(void) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < FILES; i++) if (nodes[i].used) drop(&nodes[i]);
    calls = failAt = failForever = fired = imageAt = imageInDatabase = 0;
    pthread_mutex_unlock(&lock);
    if (!sqlite3_vfs_find("fault")) sqlite3_vfs_register(&vfs, 0);
}
void faultvfs_fail(int n, int forever) {
    pthread_mutex_lock(&lock); failAt = n; failForever = forever; fired = 0; pthread_mutex_unlock(&lock);
}
static int locked(const int *value) {
    pthread_mutex_lock(&lock);
    int now = *value;
    pthread_mutex_unlock(&lock);
    return now;
}
int faultvfs_calls(void) { return locked(&calls); }
int faultvfs_fired(void) { return locked(&fired); }
int faultvfs_cut_in_database(void) { return locked(&imageInDatabase); }
static uint64_t draw(uint64_t *state) {
    *state ^= *state << 13; *state ^= *state >> 7; *state ^= *state << 17; return *state;
}
static void crashLocked(const char *from, const char *to, uint64_t seed) {
    uint64_t state = seed * 0x9E3779B97F4A7C15u;
    for (int i = 0; i < FILES; i++) {
        if (!nodes[i].used || strncmp(nodes[i].name, from, strlen(from))) continue;
        char name[PATH];
        sqlite3_snprintf(PATH, name, "%s%s", to, nodes[i].name + strlen(from));
        Node *left = find(name, 1);
        copy(&left->live, &nodes[i].synced);
        for (Write *w = nodes[i].first; w && seed; w = w->next) {
            uint64_t dice = draw(&state) % 4;
            if (dice == 0) continue;
            put(&left->live, w->bytes, dice == 1 ? w->count / 2 : w->count, w->offset);
        }
        copy(&left->synced, &left->live);
    }
}
void faultvfs_crash(const char *from, const char *to, uint64_t seed) {
    pthread_mutex_lock(&lock); crashLocked(from, to, seed); pthread_mutex_unlock(&lock);
}
void faultvfs_crash_at(int n, const char *to, uint64_t seed) {
    pthread_mutex_lock(&lock);
    imageAt = n; imageSeed = seed; strncpy(imageTo, to, PATH - 1);
    pthread_mutex_unlock(&lock);
}
void faultvfs_forget(const char *name) { vDelete(&vfs, name, 0); }
