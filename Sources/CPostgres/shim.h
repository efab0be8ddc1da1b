#ifndef TUMULTE_CPOSTGRES_SHIM_H
#define TUMULTE_CPOSTGRES_SHIM_H

// Debian keeps the header in a folder of its own, others do not.
#if __has_include(<postgresql/libpq-fe.h>)
#include <postgresql/libpq-fe.h>
#else
#include <libpq-fe.h>
#endif

#endif
