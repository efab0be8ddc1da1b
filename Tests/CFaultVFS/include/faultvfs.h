// A SQLite VFS in memory that fails on demand and forgets what was not synced. For tests, one database at a time.
#ifndef FAULTVFS_H
#define FAULTVFS_H
#include <stdint.h>

// Registers the VFS "fault" (again: no effect) and forgets all files and counters.
void faultvfs_reset(void);
// The n-th open, write, truncate or sync of "a.db" or its log from now fails, and with `forever` each one after it; 0
// fails none. Calls on other files, which tests open to look at what is left, neither count nor fail.
void faultvfs_fail(int n, int forever);
// How many calls failed since then.
int faultvfs_fired(void);
// How many calls could have failed since the reset.
int faultvfs_calls(void);
// Copies what a power cut would leave of each file named `from`... to `to`...: what was synced, and with a seed other
// than 0 a random part of the writes since, some of them torn.
void faultvfs_crash(const char *from, const char *to, uint64_t seed);
// The same for "a.db", taken just before the n-th call that could fail: in the middle of whatever is going on then.
void faultvfs_crash_at(int n, const char *to, uint64_t seed);
// Whether that call was a write, truncate or sync of the database file itself: with a write-ahead log, of a checkpoint.
int faultvfs_cut_in_database(void);
// Deletes a file.
void faultvfs_forget(const char *name);
#endif
