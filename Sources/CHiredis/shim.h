#ifndef TUMULTE_CHIREDIS_SHIM_H
#define TUMULTE_CHIREDIS_SHIM_H

#include <hiredis/hiredis.h>
#include <hiredis/async.h>

// The library allocates an array for as many elements as its header announces, before it has seen one of them: twelve
// wrong bytes would ask for 16 GB. This passes modest arrays on to the library's own function, whose table the reader
// carries as its private data; a refusal ends the connection.
#define TUMULTE_REDIS_ELEMENTS_LIMIT (1 << 20)

#if HIREDIS_MAJOR >= 1
typedef size_t tumulte_redis_count;
#else
typedef int tumulte_redis_count;
#endif

static inline void *tumulte_redis_array(const redisReadTask *task, tumulte_redis_count count) {
    const redisReplyObjectFunctions *original = (const redisReplyObjectFunctions *)task->privdata;
    return count > TUMULTE_REDIS_ELEMENTS_LIMIT ? NULL : original->createArray(task, count);
}

// Fills `table` with the functions of a fresh reader, arrays bounded, and gives it to the reader, which it must outlive.
static inline void tumulte_redis_bound_arrays(redisReader *reader, redisReplyObjectFunctions *table) {
    reader->privdata = (void *)reader->fn;
    *table = *reader->fn;
    table->createArray = tumulte_redis_array;
    reader->fn = table;
}

// TLS is there where the library brings it (1.0 and later): the build scripts look, and define TUMULTE_REDIS_TLS. The
// session is made here, not by the library, which would check the certificate's issuer and not whose it is.
#ifdef TUMULTE_REDIS_TLS
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

static const int tumulte_redis_has_tls = 1;

// What sessions are made of: certificates are checked against those of `authorities`, a file, or of the system, where
// OpenSSL's own SSL_CERT_FILE and SSL_CERT_DIR may name others. NULL where there are none that can be read.
static inline void *tumulte_redis_tls(const char *authorities) {
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (tls == NULL) return NULL;
    int is_ready = SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) == 1
        && (authorities == NULL ? SSL_CTX_set_default_verify_paths(tls)
                                : SSL_CTX_load_verify_locations(tls, authorities, NULL)) == 1;
    ERR_clear_error();
    if (!is_ready) {
        SSL_CTX_free(tls);
        return NULL;
    }
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    return tls;
}

static inline void tumulte_redis_tls_free(void *tls) { SSL_CTX_free((SSL_CTX *)tls); }

// Begins TLS on a connection that has just been made; `host`, a name or an address, must be in the server's certificate.
// 0: it failed, and the connection is of no use any more.
static inline int tumulte_redis_start_tls(redisAsyncContext *context, void *tls, const char *host) {
    SSL *session = SSL_new((SSL_CTX *)tls);
    if (session == NULL) return 0;
    X509_VERIFY_PARAM *wanted = SSL_get0_param(session);
    X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    int is_named = X509_VERIFY_PARAM_set1_ip_asc(wanted, host) == 1
        || (SSL_set1_host(session, host) == 1 && SSL_set_tlsext_host_name(session, host) == 1);
    ERR_clear_error();
    if (is_named && redisInitiateSSL(&context->c, session) == REDIS_OK) return 1;
    SSL_free(session);
    return 0;
}
#else
static const int tumulte_redis_has_tls = 0;
static inline void *tumulte_redis_tls(const char *authorities) { return (void)authorities, (void *)0; }
static inline void tumulte_redis_tls_free(void *tls) { (void)tls; }
static inline int tumulte_redis_start_tls(redisAsyncContext *context, void *tls, const char *host) {
    return (void)context, (void)tls, (void)host, 0;
}
#endif

#endif
