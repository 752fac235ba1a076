/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capabilities, securebits, no_new_privs, Landlock.
 *
 * Runs in: both programs.
 */
#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <linux/landlock.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/sandbox-int.h"
#include "util/error.h"
#include "util/fd.h"

#define NOBODY 65534

/* In the first user namespace, or in one that maps root to the first one's; also when that cannot be read. */
static bool is_root_of_the_host(void)
{
    unsigned inside = 1, outside = 0;
    g_autofree char *map = NULL;

    return !g_file_get_contents("/proc/self/uid_map", &map, NULL, NULL) ||
           /* NOLINTNEXTLINE(cert-err34-c): the kernel's */
           sscanf(map, "%u %u", &inside, &outside) != 2 || (inside == 0 && outside == 0);
}

/*
 * By whatever way the process got out of its namespaces, it would not be root.  Its capabilities go with the uid, all
 * but what it needs for the namespaces, which a user namespace gives to anybody.
 */
bool privileges_leave_root(GError **errp)
{
    static const struct {
        int capability;
        const char *name;
    } needed[] = { { CAP_SETUID, "CAP_SETUID" }, { CAP_SETGID, "CAP_SETGID" }, { CAP_KILL, "CAP_KILL" } };

    if ((geteuid() != 0 && getuid() != 0) || !is_root_of_the_host()) {
        return true; /* whoever made this user namespace is no root outside */
    }
    /* The last: a parent, which has no more than we, could not end a nobody. */
    for (unsigned i = 0; i < G_N_ELEMENTS(needed); i++) {
        if (!capng_have_capability(CAPNG_EFFECTIVE, needed[i].capability)) {
            error_setg(errp, "-sandbox: root without %s cannot become nobody; give that capability, or start as "
                             "another user",
                       needed[i].name);
            return false;
        }
    }
    if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0) {
        error_setg_errno(errp, errno, "-sandbox: root cannot become nobody (uid %d); start as another user", NOBODY);
        return false;
    }
    return true;
}

/* libcap-ng learns from /proc which capabilities the kernel knows. */
bool privileges_prepare(GError **errp)
{
    if (capng_get_caps_process() < 0) {
        error_setg(errp, "-sandbox: the process's capabilities cannot be read; mount /proc");
        return false;
    }
    return true;
}

/* Root is nobody special from now on, and none of this can be changed. */
static bool lock_securebits(GError **errp)
{
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

    if (prctl(PR_SET_SECUREBITS, bits) < 0) {
        error_setg_errno(errp, errno, "-sandbox: securebits cannot be locked; " SANDBOX_LOOK_OUTSIDE);
        return false;
    }
    return true;
}

bool privileges_drop(const int *kept, unsigned count, GError **errp)
{
    bool may_lock, had[PRIVILEGES_KEPT_MAX] = { false };

    g_assert(count <= PRIVILEGES_KEPT_MAX);

    /* In a user namespace of our own we have them all; with ns=off nothing is left to lose. */
    if (capng_get_caps_process() < 0) {
        error_setg(errp, "-sandbox: the process's capabilities cannot be read; " SANDBOX_LOOK_OUTSIDE);
        return false;
    }
    may_lock = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
    if (may_lock && !lock_securebits(errp)) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        had[i] = capng_have_capability(CAPNG_EFFECTIVE, kept[i]);
    }
    capng_clear(CAPNG_SELECT_ALL);
    for (unsigned i = 0; i < count; i++) {
        if (had[i]) {
            capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, kept[i]);
        }
    }
    if (capng_apply(may_lock ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS) < 0) {
        error_setg(errp, "-sandbox: capabilities cannot be dropped; " SANDBOX_LOOK_OUTSIDE);
        return false;
    }
    return true;
}

/*
 * A ruleset that governs every right this kernel's Landlock knows and grants none.  The second lock on a door that the
 * empty root and the filter keep shut: the only one for paths with ns=off.
 */
static bool lock_by_landlock(int abi, bool signals_out, GError **errp)
{
    /* Rights were added from ABI to ABI; a kernel refuses bits that it does not know. */
    static const unsigned char fs_bits[] = { 0, 13, 14, 15, 15, 16 };
    struct {
        uint64_t fs, net, scoped;
    } ruleset = {
        .fs = (UINT64_C(1) << fs_bits[MIN((size_t)abi, G_N_ELEMENTS(fs_bits) - 1)]) - 1,
        .net = abi >= 4 ? 3 : 0,    /* bind and connect by TCP */
        /* Abstract sockets, and signals to processes outside. */
        .scoped = abi < 6 ? 0 : signals_out ? 1 : 3,
    };
    const size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
    auto_fd fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);

    if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0) {
        error_setg_errno(errp, errno, "-sandbox: Landlock (ABI %d) cannot be used; " SANDBOX_LOOK_OUTSIDE, abi);
        return false;
    }
    return true;
}

bool privileges_no_new(GError **errp)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        error_setg_errno(errp, errno, "-sandbox: no_new_privs cannot be set; " SANDBOX_LOOK_OUTSIDE);
        return false;
    }
    return true;
}

bool privileges_lock(bool signals_out, int *ret_landlock, GError **errp)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    *ret_landlock = abi > 0 ? (int)abi : 0; /* none: not built, or not in the kernel's lsm= list */
    return abi <= 0 || lock_by_landlock((int)abi, signals_out, errp);
}
