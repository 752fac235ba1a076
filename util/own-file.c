/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of ours, by device and inode.
 *
 * Runs in: both programs, the opener and supervisors.
 */
#include "util/own-file.h"

#include <sys/stat.h>
#include <unistd.h>

bool own_file_note(const char *path, OwnFile *ret_file)
{
    struct stat st;

    if (lstat(path, &st) < 0) {
        return false;
    }
    *ret_file = (OwnFile) { .dev = st.st_dev, .ino = st.st_ino };
    return true;
}

bool own_file_is_at(const OwnFile *file, const char *path)
{
    OwnFile found;

    return own_file_note(path, &found) && found.dev == file->dev && found.ino == file->ino;
}

void own_file_remove(const OwnFile *file, const char *path)
{
    if (own_file_is_at(file, path)) {
        unlink(path);
    }
}
