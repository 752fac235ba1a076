/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file of ours that is to be removed later, when nobody has put another into its place.
 *
 * Thread: any.  Runs in: both programs, the opener and supervisors, also confined ones (newfstatat and unlink).
 */
#ifndef UTIL_OWN_FILE_H
#define UTIL_OWN_FILE_H

#include <stdbool.h>
#include <sys/types.h>

/* What tells a file from all others as long as it is there.  The path is its user's to keep. */
typedef struct OwnFile {
    dev_t dev;
    ino_t ino;
} OwnFile;

/* Which file PATH is; a symbolic link is one itself.  False with errno. */
bool own_file_note(const char *path, OwnFile *ret_file);

/* Whether PATH is FILE (still). */
bool own_file_is_at(const OwnFile *file, const char *path);

/* Removes PATH if it is FILE. */
void own_file_remove(const OwnFile *file, const char *path);

#endif
