/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log mode: what the filter would refuse is printed, and done.
 *
 * Runs in: the supervisor of a process with -sandbox log.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <linux/seccomp.h>

#include "sandbox/sandbox-int.h"
#include "util/log.h"

void notifier_report(int notifier, const char *name)
{
    struct seccomp_notif *request = NULL;
    struct seccomp_notif_resp *response = NULL;

    if (seccomp_notify_alloc(&request, &response) < 0) {
        return; /* the caller waits until there is memory */
    }
    if (seccomp_notify_receive(notifier, request) == 0) {
        char *call = seccomp_syscall_resolve_num_arch(request->data.arch, request->data.nr);
        const __u64 *args = request->data.args;

        /* Every one: who asks for this mode looks for what is missing. */
        log_warn("%s: the sandbox would refuse %s(0x%llx, 0x%llx, 0x%llx, 0x%llx, 0x%llx, 0x%llx)", name,
                 call ? call : "?", args[0], args[1], args[2], args[3], args[4], args[5]);
        free(call);
        response->id = request->id;
        response->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        /* ENOENT: the caller was killed meanwhile. */
        seccomp_notify_respond(notifier, response);
    }
    seccomp_notify_free(request, response);
}
