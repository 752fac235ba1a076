/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system call filter: an allow-list by libseccomp.
 *
 * Runs in: both programs.
 *
 * What is not on the list ends the process (SECCOMP_RET_KILL_PROCESS, seen as signal SIGSYS), as does a call by another
 * architecture's numbers.  In the log mode it is told to the supervisor instead (SECCOMP_RET_USER_NOTIF), which prints
 * it and lets it pass.
 */
#include <errno.h>
#include <seccomp.h>

#include "sandbox/profile-int.h"
#include "sandbox/sandbox-int.h"
#include "util/error.h"

static void release_filter(scmp_filter_ctx *filter)
{
    if (*filter) {
        seccomp_release(*filter);
    }
}

/* 0 or a negative errno. */
static int add_rule(scmp_filter_ctx filter, const SyscallRule *rule)
{
    struct scmp_arg_cmp conditions[SYSCALL_ARGS_MAX];
    unsigned count = 0;

    while (count < SYSCALL_ARGS_MAX && rule->args[count].mask) {
        const SyscallArg *arg = &rule->args[count];

        conditions[count++] = SCMP_CMP(arg->index, SCMP_CMP_MASKED_EQ, arg->mask, arg->value);
    }
    return seccomp_rule_add_array(filter, rule->error ? SCMP_ACT_ERRNO((uint32_t)rule->error) : SCMP_ACT_ALLOW,
                                  rule->number, count, conditions);
}

/* 0 or a negative errno. */
static int set_attributes(scmp_filter_ctx filter, bool log)
{
    const struct {
        enum scmp_filter_attr attribute;
        uint32_t value;
    } attributes[] = {
        { SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS },
        { SCMP_FLTATR_CTL_NNP, 0 },         /* privileges_lock() has done it */
        { SCMP_FLTATR_CTL_TSYNC, !log },    /* a notifier is for one thread */
        { SCMP_FLTATR_CTL_OPTIMIZE, 2 },    /* a binary tree */
    };
    int ret = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(attributes) && ret == 0; i++) {
        ret = seccomp_attr_set(filter, attributes[i].attribute, attributes[i].value);
    }
    return ret;
}

bool filter_load(const SyscallTable *const *profile, bool log, int *ret_notifier, GError **errp)
{
    __attribute__((cleanup(release_filter))) scmp_filter_ctx filter =
        seccomp_init(log ? SCMP_ACT_NOTIFY : SCMP_ACT_KILL_PROCESS);
    g_autoptr(GArray) entries = profile_compose(profile);
    int ret = filter ? set_attributes(filter, log) : -ENOMEM;

    *ret_notifier = -1;
    for (guint i = 0; i < entries->len && ret == 0; i++) {
        const SyscallRule *rule = g_array_index(entries, ProfileEntry, i).rule;

        ret = add_rule(filter, rule);
        if (ret < 0) {
            error_setg_errno(errp, -ret, "-sandbox: libseccomp takes no rule for %s; run with -sandbox off",
                             rule->name);
            return false;
        }
    }
    if (ret == 0) {
        ret = seccomp_load(filter);
    }
    if (ret < 0) {
        error_setg_errno(errp, -ret, "-sandbox: the kernel takes no system call filter; run a kernel with "
                         "CONFIG_SECCOMP_FILTER, or run with -sandbox off");
        return false;
    }
    if (log) {
        *ret_notifier = seccomp_notify_fd(filter);
    }
    return true;
}
