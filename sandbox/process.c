/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stages in their order, and what a process gives up for itself: limits, descriptors, its core.
 *
 * Runs in: both programs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/opener.h"
#include "sandbox/sandbox-int.h"
#include "util/error.h"
#include "util/fd.h"

/* Links, images, memory and interrupts of more devices than any process holds. */
#define DESCRIPTORS_MAX 4096

static SandboxState state = { .level = SANDBOX_NONE };
static int supervisor = -1; /* owned socket; -1: there is none */

const SandboxState *sandbox_state(void)
{
    return &state;
}

/* ---- descriptors ---------------------------------------------------------------------------------------------- */

/* How large FD lets a file become that is not larger already: 0 when it is no file, or one that is only read. */
static rlim_t growth_limit(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    struct stat st;

    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return 0;
    }
    /* A file that is only written, a log, grows. */
    return fd <= STDERR_FILENO || (flags & O_ACCMODE) == O_WRONLY ? RLIM_INFINITY : (rlim_t)st.st_size;
}

/*
 * Closes what was inherited and that no option has taken: who takes a number makes it close-on-exec (util/fd-name.h),
 * and our own descriptors are so from birth.  *ret_largest is the size of the largest image that stays, to which a
 * process that was taken over could else make it and every other one grow; RLIM_INFINITY when a log is open.
 */
static bool close_inherited(rlim_t *ret_largest, GError **errp)
{
    DIR *dir = opendir("/proc/self/fd");

    if (!dir) {
        error_setg_errno(errp, errno, "-sandbox: /proc/self/fd cannot be read; mount /proc");
        return false;
    }
    *ret_largest = 0;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody else has this directory */
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        int fd = atoi(entry->d_name); /* NOLINT(cert-err34-c): a number, or a dot, which gives 0 */

        if (fd > STDERR_FILENO && fd != dirfd(dir) && !(fcntl(fd, F_GETFD) & FD_CLOEXEC)) {
            close(fd);
        } else {
            *ret_largest = MAX(*ret_largest, growth_limit(fd));
        }
    }
    closedir(dir);
    return true;
}

/* ---- limits --------------------------------------------------------------------------------------------------- */

/* Lowers the limit of RESOURCE to MAX for good; one that is lower stays. */
static bool lower_limit(int resource, const char *what, rlim_t max, GError **errp)
{
    struct rlimit limit;

    if (getrlimit(resource, &limit) == 0) {
        limit.rlim_max = MIN(limit.rlim_max, max);
        limit.rlim_cur = MIN(limit.rlim_cur, limit.rlim_max);
        if (setrlimit(resource, &limit) == 0) {
            return true;
        }
    }
    error_setg_errno(errp, errno, "-sandbox: the limit of %s cannot be set to %llu; " SANDBOX_LOOK_OUTSIDE, what,
                     (unsigned long long)max);
    return false;
}

/* Counted in the new user namespace alone: this process and the kernel's workers for its disks. */
#define PROCESSES_MAX 128

/* What is known only when all is set up and the namespaces are there; LARGEST is the largest file's size. */
static bool limit_further(const SandboxConfig *config, rlim_t largest, GError **errp)
{
    /* A write to the last sector may fill it up. */
    rlim_t file_size = largest == RLIM_INFINITY ? largest : (largest + 4095) & ~(rlim_t)4095;

    return (!config->namespaces || lower_limit(RLIMIT_NPROC, "processes", PROCESSES_MAX, errp)) &&
           (!config->fixed_files || lower_limit(RLIMIT_FSIZE, "file sizes", file_size, errp));
}

bool process_hide(GError **errp)
{
    if (prctl(PR_SET_DUMPABLE, 0) < 0) {
        error_setg_errno(errp, errno, "-sandbox: the process cannot be made undumpable; " SANDBOX_LOOK_OUTSIDE);
        return false;
    }
    return lower_limit(RLIMIT_CORE, "cores", 0, errp);
}

static bool limit_process(GError **errp)
{
    return process_hide(errp) &&
           lower_limit(RLIMIT_NOFILE, "descriptors", DESCRIPTORS_MAX, errp) &&
           lower_limit(RLIMIT_MEMLOCK, "locked memory", 64 * 1024 * 1024, errp) &&
           lower_limit(RLIMIT_MSGQUEUE, "message queues", 0, errp);
}

void sandbox_remove_at_end(const char *path)
{
    if (supervisor >= 0) {
        supervisor_send_file(supervisor, path);
    } else {
        opener_remove_at_end(path);
    }
}

/* ---- the stages ----------------------------------------------------------------------------------------------- */

bool sandbox_enter(const SandboxConfig *config, const char *name, GError **errp)
{
    if (!config->on) {
        return true;
    }
    if ((config->namespaces && getpid() != 1) || config->log) {
        if (!supervisor_fork(config, name, &supervisor, errp)) {
            return false;
        }
    }
    /* Own session: no terminal sends signals here but by the supervisor.  Fails for who leads one already: fine. */
    setsid();
    return limit_process(errp);
}

bool sandbox_confine(const SandboxConfig *config, const SyscallTable *const *profile, GError **errp)
{
    int death_signal = 0, notifier;
    rlim_t largest;

    if (!config->on) {
        return true;
    }
    prctl(PR_GET_PDEATHSIG, &death_signal);
    if (!close_inherited(&largest, errp) || !privileges_prepare(errp) || !privileges_leave_root(errp) ||
        (config->namespaces && !namespaces_enter(errp)) || !limit_further(config, largest, errp) ||
        !privileges_drop(NULL, 0, errp) || !privileges_no_new(errp) ||
        !privileges_lock(false, &state.landlock, errp)) {
        return false;
    }
    /* Both were lost with the user. */
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_PDEATHSIG, death_signal);
    if (supervisor >= 0) {
        supervisor_die_with(supervisor);
    }
    if (!filter_load(profile, config->log, &notifier, errp) ||
        (config->log && !supervisor_send_notifier(supervisor, notifier, errp))) {
        return false;
    }
    fd_close(&supervisor);
    state.profile = profile;
    state.level = config->log ? SANDBOX_LOG : config->namespaces ? SANDBOX_FULL : SANDBOX_SECCOMP;
    return true;
}

bool sandbox_confine_main(const SyscallTable *const *profile, GError **errp)
{
    /* Remote processes of root are nobody's, and must be ended all the same; the filter has no kill() but by pidfd. */
    static const int kept[] = { CAP_KILL };
    int notifier;

    if (!process_hide(errp) || !privileges_prepare(errp) || !privileges_drop(kept, G_N_ELEMENTS(kept), errp) ||
        !privileges_no_new(errp) || !privileges_lock(true, &state.landlock, errp) || !opener_seal(errp) ||
        !filter_load(profile, false, &notifier, errp)) {
        return false;
    }
    state.profile = profile;
    state.level = SANDBOX_SECCOMP;
    return true;
}
