#ifndef TUMULTE_CUV_SHIM_H
#define TUMULTE_CUV_SHIM_H

#include <pthread.h>
#include <sys/socket.h>
#include <uv.h>

// Two calls that the platform's own Swift module does not show.

#if defined(__linux__)
int accept4(int, struct sockaddr *, socklen_t *, int);
int pthread_setname_np(pthread_t, const char *);

static inline int tumulte_accept(int listener, struct sockaddr *address, socklen_t *length) {
    return accept4(listener, address, length, 02000000 | 04000); // SOCK_CLOEXEC | SOCK_NONBLOCK
}
static inline void tumulte_name_thread(const char *name) { (void)pthread_setname_np(pthread_self(), name); }
#else
static inline int tumulte_accept(int listener, struct sockaddr *address, socklen_t *length) {
    return accept(listener, address, length);
}
static inline void tumulte_name_thread(const char *name) { (void)pthread_setname_np(name); }
#endif

#endif
