/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unix sockets with a path; standard input and output.
 *
 * Runs in: both programs.
 */
#include "chardev/unix-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "sandbox/sandbox.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/own-file.h"

struct UnixSocketFile {
    char *path;
    OwnFile file; /* that was bound, so that nobody else's is removed */
};

static GPtrArray *files; /* UnixSocketFile *, not owned */

static bool set_address(struct sockaddr_un *addr, const char *path, GError **errp)
{
    *addr = (struct sockaddr_un) { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(addr->sun_path)) {
        error_setg(errp, "unix:%s: the path is longer than %zu bytes; use a shorter one", path,
                   sizeof(addr->sun_path) - 1);
        return false;
    }
    strcpy(addr->sun_path, path); /* NOLINT(clang-analyzer-security.insecureAPI.strcpy): length checked */
    return true;
}

static int socket_for(const char *path, struct sockaddr_un *addr, GError **errp)
{
    int fd;

    if (!set_address(addr, path, errp)) {
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        error_setg_errno(errp, errno, "unix:%s: cannot make a socket; raise the limit (ulimit -n)", path);
    }
    return fd;
}

static bool remove_old_socket(const char *path, GError **errp)
{
    struct stat st;

    if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode)) {
        return true;
    }
    for (unsigned i = 0; files && i < files->len; i++) {
        if (own_file_is_at(&((UnixSocketFile *)g_ptr_array_index(files, i))->file, path)) {
            error_setg(errp, "unix:%s: this program listens there already; give each socket a path of its own", path);
            return false;
        }
    }
    unlink(path);
    return true;
}

int unix_socket_listen(const char *path, int backlog, UnixSocketFile **ret_file, GError **errp)
{
    struct sockaddr_un addr;
    auto_fd fd = socket_for(path, &addr, errp);
    UnixSocketFile *file;
    OwnFile own;

    if (fd < 0 || !remove_old_socket(path, errp)) {
        return -1;
    }
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, backlog) < 0 || !own_file_note(path, &own)) {
        error_setg_errno(errp, errno, "unix:%s: cannot listen; give a path that can be made", path);
        return -1;
    }
    file = g_new0(UnixSocketFile, 1);
    *file = (UnixSocketFile) { .path = g_strdup(path), .file = own };
    if (!files) {
        files = g_ptr_array_new();
    }
    g_ptr_array_add(files, file);
    sandbox_remove_at_end(path);
    *ret_file = file;
    return fd_steal(&fd);
}

void unix_socket_file_remove(UnixSocketFile *file)
{
    if (!file) {
        return;
    }
    own_file_remove(&file->file, file->path);
    g_ptr_array_remove_fast(files, file);
    if (files->len == 0) {
        g_clear_pointer(&files, g_ptr_array_unref);
    }
    g_free(file->path);
    g_free(file);
}

bool unix_socket_check_connected(int fd, GError **errp)
{
    int type;
    socklen_t len = sizeof(int);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM) {
        error_setg(errp, "descriptor %d is %s; give a connected stream socket", fd, fd_kind_name(fd_kind(fd)));
        return false;
    }
    if (getpeername(fd, &(struct sockaddr) { 0 }, &(socklen_t) { sizeof(struct sockaddr) }) < 0) {
        error_setg(errp, "descriptor %d is a socket without a peer; give a connected stream socket", fd);
        return false;
    }
    return true;
}

int unix_socket_connect(const char *path, GError **errp)
{
    struct sockaddr_un addr;
    auto_fd fd = socket_for(path, &addr, errp);

    if (fd < 0) {
        return -1;
    }
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        error_setg_errno(errp, errno, "unix:%s: cannot connect; start the program that listens there first, or add "
                         "server=on to listen", path);
        return -1;
    }
    return fd_steal(&fd);
}

/* ---- standard input and output -------------------------------------------------------------------- */

/* A descriptor of our own for FD; a negative errno on failure. */
static int reopen_nonblocking(int fd, int mode)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    FdKind kind = fd_kind(fd);
    int own = -1;

    if (kind == FD_KIND_CHAR || kind == FD_KIND_OTHER) {
        own = open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    }
    return own >= 0 ? own : fd_dup(fd);
}

bool stdio_open(int *ret_in, int *ret_out, GError **errp)
{
    auto_fd in_fd = reopen_nonblocking(STDIN_FILENO, O_RDONLY);
    auto_fd out_fd = reopen_nonblocking(STDOUT_FILENO, O_WRONLY);

    if (in_fd < 0 || out_fd < 0) {
        error_setg_errno(errp, -MIN(in_fd, out_fd), "standard input and output cannot be used");
        return false;
    }
    *ret_in = fd_steal(&in_fd);
    *ret_out = fd_steal(&out_fd);
    return true;
}

bool stdio_claim(GError **errp)
{
    static bool claimed;

    if (claimed) {
        error_setg(errp, "standard input and output have another user already; use a socket, or share them: mon:stdio");
        return false;
    }
    claimed = true;
    return true;
}
