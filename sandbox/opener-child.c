/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The opener's own process.
 *
 * Runs in: mpqemu's opener.
 *
 * Theory of operation.  A loop around poll(): the socket, and a signalfd for the main emulator's death.  A path is
 * first opened as a mere name (O_PATH), which does nothing to what is there: opening a tape rewinds it, opening a
 * watchdog starts it.  When that is a file to hand out, it is opened through its number in /proc/self/fd, so that it is
 * the same one that was looked at.  Memory is static; a request that the main emulator never sends ends the opener.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "io/fd-socket.h"
#include "sandbox/helper.h"
#include "sandbox/libc.h"
#include "sandbox/opener-int.h"
#include "sandbox/sandbox-int.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/own-file.h"

/* Monitors and qtest, each with a file. */
#define FILES_MAX 16

#define PATH_FLAGS (O_PATH | O_CLOEXEC)
/* O_NONBLOCK as the block layer has it; O_NOCTTY goes without saying for files. */
#define IMAGE_FLAGS (O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/*
 * Not libc_syscalls: that refuses openat(), which is what this process is for.  The C library is not used but for text,
 * and what it tries besides ends the opener.
 */
static const SyscallTable opener_syscalls = {
    "opener", (const SyscallRule[]) {
        SYSCALL(poll, "waits for requests"),
        SYSCALL(restart_syscall, "a wait in which the process was stopped"),
        SYSCALL(recvmsg, "requests"),
        SYSCALL(sendmsg, "answers, with a descriptor", FD_SOCKET_SENDS_AT_ONCE),
        SYSCALL(openat, "looks what is there", ARG_IS(2, PATH_FLAGS)),
        SYSCALL(openat, "an image for reading", ARG_IS(2, IMAGE_FLAGS | O_RDONLY)),
        SYSCALL(openat, "an image for writing", ARG_IS(2, IMAGE_FLAGS | O_RDWR)),
        SYSCALL(fstat, "what kind it is"),
        SYSCALL(fstatfs, "whether its file system is the kernel's own"),
        SYSCALL(close, "what was handed out"),
        SYSCALL(write, "tells what was handed out"),
        SYSCALL(newfstatat, "whether a socket's file is still ours"),
        SYSCALL(unlink, "removes it at the end"),
        SYSCALL(read, "the main emulator's death"),
        SYSCALL(getppid, "likewise"),
        SYSCALL(brk, "malloc()"),
        SYSCALL(mmap, "malloc(); never executable", ARG_BITS(2, 4 /* PROT_EXEC */, 0)),
        SYSCALL(munmap, "free()"),
        SYSCALL(exit_group, "the end"),
        SYSCALL_END,
    },
};

const SyscallTable *const opener_profile[] = { &opener_syscalls, &sanitizer_syscalls, NULL };

/* A file to be removed. */
typedef struct LeftFile {
    char path[PATH_MAX];
    OwnFile file;
} LeftFile;

typedef struct Opener {
    pid_t parent;
    int signal_fd;
    int proc_fds; /* /proc/self/fd */
    bool sealed;
    bool ending;
    unsigned file_count;
    LeftFile files[FILES_MAX];
    union {
        OpenerRequest header;
        char bytes[OPENER_REQUEST_MAX];
    } request;
} Opener;

/* ---- opening -------------------------------------------------------------------------------------------------- */

/* Files there are not data but switches, other processes' memory, and doors to other files. */
static bool is_kernel_file_system(long magic)
{
    static const uint32_t magics[] = {
        PROC_SUPER_MAGIC, SYSFS_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC, SECURITYFS_MAGIC, SELINUX_MAGIC, SMACK_MAGIC,
        CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, BPF_FS_MAGIC, PSTOREFS_MAGIC, EFIVARFS_MAGIC, DEVPTS_SUPER_MAGIC,
        BINFMTFS_MAGIC, NSFS_MAGIC, SOCKFS_MAGIC, ANON_INODE_FS_MAGIC, RDTGROUP_SUPER_MAGIC, USBDEVICE_SUPER_MAGIC,
        0x50495045 /* pipefs */, 0x62656570 /* configfs */, 0x65735543 /* fusectl */, 0x19800202 /* mqueue */,
        0x64646178 /* daxfs */, 0x5a3c69f0 /* apparmorfs */,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(magics); i++) {
        if ((uint32_t)magic == magics[i]) {
            return true;
        }
    }
    return false;
}

static OpenerStep refuse(OpenerStep step, int error, int *ret_error)
{
    *ret_error = error;
    return step;
}

static OpenerStep open_image(const Opener *o, const char *path, bool writable, int *ret_fd, int *ret_error)
{
    auto_fd name = openat(AT_FDCWD, path, PATH_FLAGS);
    char number[16];
    struct statfs fs;
    struct stat st;

    if (name < 0 || fd_stat(name, &st) < 0 || fstatfs(name, &fs) < 0) {
        return refuse(OPENER_STEP_OPEN, errno, ret_error);
    }
    if (is_kernel_file_system(fs.f_type)) {
        return refuse(OPENER_STEP_KERNEL, 0, ret_error);
    }
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        return refuse(OPENER_STEP_KIND, (int)(st.st_mode & S_IFMT), ret_error);
    }
    snprintf(number, sizeof(number), "%d", name);
    *ret_fd = openat(o->proc_fds, number, IMAGE_FLAGS | (writable ? O_RDWR : O_RDONLY));
    return *ret_fd < 0 ? refuse(OPENER_STEP_OPEN, errno, ret_error) : OPENER_DONE;
}

static void handle_open(Opener *o)
{
    const OpenerRequest *request = &o->request.header;
    OpenerAnswer answer = { .serial = request->serial };
    auto_fd fd = -1;

    answer.step = open_image(o, request->path, request->writable, &fd, &answer.error);
    if (answer.step == OPENER_DONE && o->sealed) {
        log_info("opened '%s' for %s", request->path, request->writable ? "reading and writing" : "reading");
    }
    /* One that is not read is the main emulator's loss: there is room for those that it waits for. */
    if (fd_socket_send(HELPER_SOCK_FD, &answer, sizeof(answer), &fd, fd >= 0, MSG_DONTWAIT) < 0) {
        o->ending = true;
    }
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

static void handle_remove(Opener *o)
{
    LeftFile *left = &o->files[o->file_count];

    if (o->sealed) {
        o->ending = true;
    } else if (o->file_count < FILES_MAX && own_file_note(o->request.header.path, &left->file)) {
        strcpy(left->path, o->request.header.path); /* NOLINT(clang-analyzer-security.insecureAPI.strcpy): checked */
        o->file_count++;
    }
}

static void handle_seal(Opener *o)
{
    OpenerAnswer answer = { .serial = o->request.header.serial, .step = OPENER_DONE };

    o->sealed = true;
    o->ending = fd_socket_send(HELPER_SOCK_FD, &answer, sizeof(answer), NULL, 0, MSG_DONTWAIT) < 0;
}

static void (*const handlers[OPENER_KINDS])(Opener *o) = {
    [OPENER_OPEN] = handle_open,
    [OPENER_REMOVE] = handle_remove,
    [OPENER_SEAL] = handle_seal,
};

/* One NUL, at the end. */
static bool path_wellformed(const OpenerRequest *request, size_t size)
{
    size_t room = size - sizeof(*request);

    return strnlen(request->path, room) == room - 1;
}

static void receive_request(Opener *o)
{
    const OpenerRequest *request = &o->request.header;
    FdSet fds;
    /* MSG_TRUNC: the length is told whole, so one that is too long is seen. */
    ssize_t n = fd_socket_receive(HELPER_SOCK_FD, &o->request, sizeof(o->request), &fds, MSG_DONTWAIT | MSG_TRUNC);
    bool with_fds = fds.num || fds.truncated;

    fd_set_drop(&fds);
    if (n == -EAGAIN || n == -EINTR) {
        return;
    }
    if (n <= (ssize_t)sizeof(*request) || n > (ssize_t)sizeof(o->request) || with_fds ||
        request->kind >= OPENER_KINDS || request->writable > 1 || !path_wellformed(request, (size_t)n)) {
        /* The end, or what the main emulator never sends. */
        o->ending = true;
        return;
    }
    handlers[request->kind](o);
}

/* ---- life ----------------------------------------------------------------------------------------------------- */

static void drain_signals(Opener *o)
{
    struct signalfd_siginfo info;

    while (read(o->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        o->ending |= getppid() != o->parent;
    }
}

static void remove_files(const Opener *o)
{
    for (unsigned i = 0; i < o->file_count; i++) {
        own_file_remove(&o->files[i].file, o->files[i].path);
    }
}

/* Root may open any file, and so may its opener; of root's other powers it keeps none. */
static bool confine(GError **errp)
{
    static const int kept[] = { CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH };
    int notifier;

    return process_hide(errp) && privileges_prepare(errp) && privileges_drop(kept, G_N_ELEMENTS(kept), errp) &&
           privileges_no_new(errp) && filter_load(opener_profile, false, &notifier, errp);
}

void opener_child_main(int sock, pid_t parent)
{
    static Opener opener;
    Opener *o = &opener;
    g_autoptr(GError) err = NULL;

    o->parent = parent;
    o->signal_fd = helper_begin("opener", sock, parent);
    o->proc_fds = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (o->signal_fd < 0 || o->proc_fds < 0 || !confine(&err)) {
        log_error("the opener cannot be started: %s", err ? err->message
                  : "mount /proc, or raise the limit of descriptors (ulimit -n)");
        _exit(1);
    }
    while (!o->ending) {
        struct pollfd polled[] = {
            { .fd = HELPER_SOCK_FD, .events = POLLIN },
            { .fd = o->signal_fd, .events = POLLIN },
        };

        if (poll(polled, G_N_ELEMENTS(polled), -1) <= 0) {
            continue;
        }
        if (polled[1].revents) {
            drain_signals(o);
        }
        if (polled[0].revents) {
            receive_request(o);
        }
    }
    remove_files(o);
    _exit(0);
}
