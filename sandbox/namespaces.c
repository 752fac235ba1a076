/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Namespaces of the process's own, and a root directory with nothing in it.
 *
 * Runs in: both programs.
 *
 * In the new user namespace no id is mapped: the process is nobody there (65534), and nothing in any file system
 * belongs to it.  The capabilities that it has in it for the moment are what the rest of the work needs; privileges.c
 * drops them. The PID namespace is made when the process is (supervisor.c), since one can only be born into it.
 */
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/sandbox-int.h"
#include "util/error.h"

#define LESS "; or ask for less with -sandbox on,ns=off"

/*
 * Whether this process was put into a user namespace (sandbox_fork()) that does not know its uid: then the kernel lets
 * it make no other one, whatever its limits say.
 */
static bool uid_is_unmapped(void)
{
    g_autofree char *map = NULL;

    return g_file_get_contents("/proc/self/uid_map", &map, NULL, NULL) && map[0] == '\0';
}

static bool unshare_all(GError **errp)
{
    static const struct {
        int flag;
        const char *what, *remedy;
    } kinds[] = {
        { CLONE_NEWUSER, "user", SANDBOX_ALLOW_USER_NAMESPACES },
        { CLONE_NEWNS, "mount", "raise the sysctl user.max_mnt_namespaces" },
        { CLONE_NEWIPC, "IPC", "raise the sysctl user.max_ipc_namespaces" },
        { CLONE_NEWUTS, "UTS", "raise the sysctl user.max_uts_namespaces" },
        { CLONE_NEWNET, "network", "raise the sysctl user.max_net_namespaces" },
        { CLONE_NEWCGROUP, "cgroup", "raise the sysctl user.max_cgroup_namespaces" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (unshare(kinds[i].flag) < 0) {
            int err = errno;

            if (kinds[i].flag == CLONE_NEWUSER && err == EPERM && uid_is_unmapped()) {
                error_setg(errp, "-sandbox: the process's uid could not be mapped into its user namespace; mount /proc "
                           "for writing" LESS);
            } else {
                error_setg_errno(errp, err, "-sandbox: no %s namespace can be made; %s" LESS, kinds[i].what,
                                 kinds[i].remedy);
            }
            return false;
        }
    }
    return true;
}

/* Changes to NEW_ROOT, the working directory, as the root; 0 or -1 with errno. */
static int change_root(void)
{
    /* The old root comes to lie on the new one, from where it can be taken away without a directory for it. */
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        return umount2(".", MNT_DETACH) < 0 ? -1 : chdir("/");
    }
    /*
     * The first root file system (an initramfs) cannot be pivoted away from.  Ours is moved over it instead; what lies
     * below is out of reach for who can neither mount nor chroot.
     */
    if (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0) {
        return -1;
    }
    return chdir("/");
}

static bool enter_empty_root(GError **errp)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

    /* Nothing that is mounted here comes to be anywhere else, and nothing comes here. */
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        error_setg_errno(errp, errno, "-sandbox: mounts cannot be made private; allow mounts in a user namespace (the "
                         "container's policy)" LESS);
        return false;
    }
    /* Over any directory there always is: room for its own root directory, and not a byte of data. */
    if (mount("tmpfs", "/proc", "tmpfs", flags, "nr_inodes=2,nr_blocks=1,mode=0555") < 0 || chdir("/proc") < 0) {
        error_setg_errno(errp, errno, "-sandbox: no empty file system can be mounted; allow tmpfs in a user namespace"
                         LESS);
        return false;
    }
    if (mount(NULL, ".", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) < 0 || change_root() < 0) {
        error_setg_errno(errp, errno, "-sandbox: the root directory cannot be changed to an empty one; allow mounts in "
                                      "a user namespace (the container's policy)" LESS);
        return false;
    }
    return true;
}

bool namespaces_enter(GError **errp)
{
    return unshare_all(errp) && enter_empty_root(errp);
}
