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

#endif
