/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owned file descriptors: closing, kinds, descriptor sets.
 *
 * Runs in: both.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "util/error.h"
#include "util/fd.h"
#include "util/options.h"

const SyscallTable fd_syscalls = {
    "descriptors", (const SyscallRule[]) {
        SYSCALL(close, "links, images and monitors that go"),
        SYSCALL(fstat, "what a received descriptor is, and its size"),
        SYSCALL(fcntl, "access mode of a passed image", ARG_IS(1, F_GETFL)),
        SYSCALL(fcntl, "blocking or not", ARG_IS(1, F_SETFL)),
        SYSCALL(fcntl, "whether a number is open, and ours", ARG_IS(1, F_GETFD)),
        SYSCALL(fcntl, "close-on-exec", ARG_IS(1, F_SETFD)),
        SYSCALL(fcntl, "duplicates of members of a descriptor set", ARG_IS(1, F_DUPFD_CLOEXEC)),
        SYSCALL(fcntl, "tells shared memory from files", ARG_IS(1, F_GET_SEALS)),
        SYSCALL_END,
    },
};

#define FDSET_PREFIX "/dev/fdset/"

void fd_close(int *fd)
{
    int saved_errno = errno;

    if (*fd >= 0) {
        /* Not repeated on EINTR: Linux has freed the number by then, another thread may own it. */
        close(*fd);
    }
    *fd = -1;
    errno = saved_errno;
}

int fd_stat(int fd, struct stat *ret_stat)
{
    /* The C library's struct is the kernel's on x86-64. */
    return (int)syscall(SYS_fstat, fd, ret_stat);
}

/*
 * Of the anonymous inodes (no file type in st_mode) eventfd is the one we meet that has a write
 * operation: a write from an unmapped address gives EFAULT before anything happens, where epoll,
 * timerfd, signalfd and inotify say EINVAL.  Reading /proc/self/fd would tell the name, but there
 * is no /proc in a confined process; writing the number 0 would succeed, but wakes a KVM irqfd.
 * The raw system call keeps compilers and sanitizers from judging the address.
 */
static bool has_write_operation(int fd)
{
    return syscall(SYS_write, fd, NULL, sizeof(uint64_t)) < 0 && errno == EFAULT;
}

FdKind fd_kind(int fd)
{
    struct stat st;

    if (fd < 0 || fd_stat(fd, &st) < 0) {
        return FD_KIND_INVALID;
    }
    switch (st.st_mode & S_IFMT) {
    case S_IFSOCK:
        return FD_KIND_SOCKET;
    case S_IFBLK:
        return FD_KIND_BLOCK;
    case S_IFCHR:
        return FD_KIND_CHAR;
    case S_IFREG:
        /* The kernel keeps seals for files of its shmem and hugetlbfs only; others say EINVAL. */
        return fcntl(fd, F_GET_SEALS) >= 0 ? FD_KIND_SHMEM : FD_KIND_FILE;
    case 0:
        return has_write_operation(fd) ? FD_KIND_EVENTFD : FD_KIND_OTHER;
    default:
        return FD_KIND_OTHER;
    }
}

const char *fd_kind_name(FdKind kind)
{
    static const char *const names[] = {
        [FD_KIND_INVALID] = "not an open descriptor",
        [FD_KIND_SOCKET] = "a socket",
        [FD_KIND_EVENTFD] = "an eventfd",
        [FD_KIND_SHMEM] = "shared memory",
        [FD_KIND_FILE] = "a regular file",
        [FD_KIND_BLOCK] = "a block device",
        [FD_KIND_CHAR] = "a character device",
        [FD_KIND_OTHER] = "another kind of descriptor",
    };

    return (unsigned)kind < G_N_ELEMENTS(names) ? names[kind] : names[FD_KIND_OTHER];
}

int fd_dup(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    return copy < 0 ? -errno : copy;
}

void fd_open_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        /* open() takes the lowest free number, and those below are open by now. */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) {
            return;
        }
    }
}

/* Sets or clears one bit of the word read by GET and written by SET. */
static int change_flag(int fd, int get, int set, int flag, bool on)
{
    int flags = fcntl(fd, get);

    if (flags < 0) {
        return -errno;
    }
    flags = on ? flags | flag : flags & ~flag;
    return fcntl(fd, set, flags) < 0 ? -errno : 0;
}

int fd_set_nonblock(int fd, bool nonblock)
{
    return change_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, nonblock);
}

int fd_set_cloexec(int fd)
{
    return change_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, true);
}

int fd_parse(const char *option, const char *value, GError **errp)
{
    uint64_t number;

    if (!parse_uint64(value, &number) || number > INT_MAX) {
        error_setg(errp, "%s: '%s' is not a descriptor number; give the number of an open "
                   "descriptor", option, value);
        return -1;
    }
    if (fcntl((int)number, F_GETFD) < 0) {
        error_setg(errp, "%s: descriptor %s is not open; let the launching program keep it open "
                   "across exec", option, value);
        return -1;
    }
    return (int)number;
}

/* ---- descriptor sets ------------------------------------------------------------------------ */

/* One descriptor of a set.  An open user has a duplicate, so it may go at any time. */
typedef struct FdsetMember {
    int64_t set_id;
    int fd;       /* owned */
    char *opaque; /* what the user wrote about it; may be NULL */
    struct FdsetMember *next;
} FdsetMember;

static FdsetMember *fdset_members; /* in the order of their addition */

bool fdset_add_take_fd(int64_t set_id, int fd, const char *opaque, GError **errp)
{
    auto_fd owned = fd;
    FdsetMember **link = &fdset_members;
    int err;

    if (set_id < 0) {
        error_setg(errp, "descriptor set %" G_GINT64_FORMAT " is not valid; use a number from 0 on",
                   set_id);
        return false;
    }
    /* Also proves that it is open. */
    err = fd_set_cloexec(owned);
    if (err) {
        owned = -1;
        error_setg(errp, "descriptor %d cannot be added to set %" G_GINT64_FORMAT
                   ": %s; pass an open descriptor", fd, set_id, errno_text(-err));
        return false;
    }
    while (*link) {
        link = &(*link)->next;
    }
    *link = g_new0(FdsetMember, 1);
    **link = (FdsetMember) {
        .set_id = set_id,
        .fd = fd_steal(&owned),
        .opaque = g_strdup(opaque),
    };
    return true;
}

unsigned fdset_remove(int64_t set_id, int fd)
{
    FdsetMember **link = &fdset_members;
    unsigned removed = 0;

    while (*link) {
        FdsetMember *member = *link;

        if (member->set_id == set_id && (fd < 0 || member->fd == fd)) {
            *link = member->next;
            fd_close(&member->fd);
            g_free(member->opaque);
            g_free(member);
            removed++;
        } else {
            link = &member->next;
        }
    }
    return removed;
}

void fdset_foreach(void (*fn)(int64_t set_id, int fd, const char *opaque, void *data), void *data)
{
    for (FdsetMember *member = fdset_members; member; member = member->next) {
        fn(member->set_id, member->fd, member->opaque, data);
    }
}

unsigned fdset_count(void)
{
    unsigned count = 0;

    for (FdsetMember *member = fdset_members; member; member = member->next) {
        count++;
    }
    return count;
}

int64_t fdset_free_id(void)
{
    int64_t id = 0;
    FdsetMember *member = fdset_members;

    while (member) {
        if (member->set_id == id) {
            id++;
            member = fdset_members;
        } else {
            member = member->next;
        }
    }
    return id;
}

/* An exact match is best; a read-write descriptor also serves a reader or a writer. */
static bool mode_fits(int have, int want, bool exact)
{
    return have == want || (!exact && have == O_RDWR);
}

static const char *mode_name(int mode)
{
    return mode == O_RDONLY ? "read-only" : mode == O_WRONLY ? "write-only" : "read-write";
}

static int open_from_fdset(const char *path, int flags, GError **errp)
{
    int want = flags & O_ACCMODE;
    g_autoptr(GString) have = g_string_new(NULL);
    int64_t set_id;

    if (!parse_int64(path + strlen(FDSET_PREFIX), &set_id) || set_id < 0) {
        error_setg(errp, "'%s' names no descriptor set; write " FDSET_PREFIX "NUMBER", path);
        return -1;
    }
    for (int exact = 1; exact >= 0; exact--) {
        for (FdsetMember *member = fdset_members; member; member = member->next) {
            int mode = fcntl(member->fd, F_GETFL);
            int copy;

            if (member->set_id != set_id || mode < 0 || !mode_fits(mode & O_ACCMODE, want, exact)) {
                continue;
            }
            copy = fd_dup(member->fd);
            if (copy < 0) {
                error_setg_errno(errp, -copy, "descriptor %d of set '%s' cannot be duplicated; "
                                 "raise the limit (ulimit -n)",
                                 member->fd, path);
            }
            return MAX(copy, -1);
        }
    }

    for (FdsetMember *member = fdset_members; member; member = member->next) {
        if (member->set_id == set_id) {
            g_string_append_printf(have, "%s%d (%s%s%s)", have->len ? ", " : "", member->fd,
                                   mode_name(fcntl(member->fd, F_GETFL) & O_ACCMODE),
                                   member->opaque ? ", " : "",
                                   member->opaque ? member->opaque : "");
        }
    }
    if (have->len) {
        error_setg(errp, "'%s' has no %s descriptor, only %s; add one with -add-fd", path,
                   mode_name(want), have->str);
    } else {
        error_setg(errp, "'%s': there is no such descriptor set; make it with -add-fd", path);
    }
    return -1;
}

static bool paths_forbidden;
static FdOpener *path_opener; /* NULL: none */

void fd_forbid_paths(FdOpener *opener)
{
    paths_forbidden = true;
    path_opener = opener;
}

bool fd_paths_forbidden(void)
{
    return paths_forbidden;
}

int fd_open_path(const char *path, int flags, GError **errp)
{
    int fd;

    if (g_str_has_prefix(path, FDSET_PREFIX)) {
        return open_from_fdset(path, flags, errp);
    }
    if (path_opener) {
        return path_opener(path, flags, errp);
    }
    if (paths_forbidden) {
        error_setg(errp, "Could not open '%s': this process is confined and opens no files", path);
        return -1;
    }
    do {
        fd = open(path, flags | O_CLOEXEC, 0644);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        error_setg_errno(errp, errno, "Could not open '%s'", path);
    }
    return fd;
}
