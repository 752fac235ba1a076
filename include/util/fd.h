/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owned file descriptors: ownership in types, kinds of descriptors.
 *
 * Thread: any.  Runs in: both programs.
 *
 * -1 means "no descriptor"; 0 is a valid descriptor.  A parameter of a function named *_take_fd
 * becomes the function's property, on failure too.  Descriptors made here are close-on-exec from
 * birth.
 */
#ifndef UTIL_FD_H
#define UTIL_FD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <glib.h>
#include "util/syscalls.h"

/* Closes *fd unless it is -1 and sets it to -1.  Keeps errno. */
void fd_close(int *fd);

/* An int that is closed when it leaves its scope. */
#define auto_fd __attribute__((cleanup(fd_close))) int

/* Gives the descriptor away: returns *fd and sets it to -1. */
static inline int fd_steal(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

/* What a descriptor is, as far as this project tells apart. */
typedef enum FdKind {
    FD_KIND_INVALID, /* not open */
    FD_KIND_SOCKET,  /* any socket */
    FD_KIND_EVENTFD, /* eventfd(2) */
    FD_KIND_SHMEM,   /* memory that can be mapped shared: memfd (sealable) or a file on tmpfs or
                        hugetlbfs */
    FD_KIND_FILE,    /* any other regular file */
    FD_KIND_BLOCK,   /* block device */
    FD_KIND_CHAR,    /* character device */
    FD_KIND_OTHER,   /* pipe, directory, epoll, ... */
} FdKind;

/*
 * Finds out FD's kind by its properties (file type, seals, operations), never by trusting its
 * sender.  No side effect on the object; needs no /proc.
 */
FdKind fd_kind(int fd);

/*
 * fstat(2) by the system call of that name, which C libraries replace by others from version to version: a confined
 * process has this one.  Returns 0, or -1 with errno.
 */
int fd_stat(int fd, struct stat *ret_stat);

/* The kind's name for messages: "a socket", "an eventfd", ... */
const char *fd_kind_name(FdKind kind);

/* A close-on-exec duplicate of FD, or a negative errno. */
int fd_dup(int fd);

/*
 * Opens /dev/null where 0, 1 or 2 is closed: no image or socket may come to lie there, where messages are written.  At
 * the start of a program.
 */
void fd_open_standard(void);

/* Sets or clears O_NONBLOCK.  Returns 0 or a negative errno. */
int fd_set_nonblock(int fd, bool nonblock);

/* Marks FD close-on-exec.  Returns 0 or a negative errno. */
int fd_set_cloexec(int fd);

/*
 * Parses a descriptor number given by a user in option OPTION (only for the message).  The number
 * must be open. Returns it, still owned by the user, or -1 with *errp set.
 */
int fd_parse(const char *option, const char *value, GError **errp);

/*
 * Descriptor sets ("-add-fd fd=N,set=ID[,opaque=TEXT]", opened later as /dev/fdset/ID).
 * Thread: main loop only.
 */

/*
 * Adds FD, which is taken (on failure too), to set SET_ID (made when new).  The set keeps it until
 * fdset_remove().  Fails on a descriptor that is not open and on a negative SET_ID.
 */
bool fdset_add_take_fd(int64_t set_id, int fd, const char *opaque, GError **errp);

/*
 * Closes descriptor FD (-1: all) of set SET_ID; a set without members is no more.  What was opened through
 * the set stays open.  Returns how many there were.
 */
unsigned fdset_remove(int64_t set_id, int fd);

/* Calls FN for each descriptor of each set, in order of their addition; FN must not change the sets. */
void fdset_foreach(void (*fn)(int64_t set_id, int fd, const char *opaque, void *data), void *data);

/* Descriptors in all sets. */
unsigned fdset_count(void);

/* The lowest number that is no set. */
int64_t fdset_free_id(void);

/* Opens PATH for this process in another one; as fd_open_path(). */
typedef int FdOpener(const char *path, int flags, GError **errp);

/*
 * From now on fd_open_path() opens nothing itself but /dev/fdset/ID; it asks OPENER, or with NULL says so: the system
 * would only claim that there is no such file.  For a process that has confined itself.
 */
void fd_forbid_paths(FdOpener *opener);
bool fd_paths_forbidden(void);

/*
 * Opens PATH with open(2) FLAGS (close-on-exec is added).  "/dev/fdset/ID" gives a duplicate of a
 * descriptor of that set whose access mode fits FLAGS instead.  Returns an owned descriptor, or -1
 * with *errp set.
 */
int fd_open_path(const char *path, int flags, GError **errp);

extern const SyscallTable fd_syscalls;

#endif
