#ifndef TUMULTE_CHIREDIS_SHIM_H
#define TUMULTE_CHIREDIS_SHIM_H

#include <hiredis/hiredis.h>
#include <hiredis/async.h>

#endif
