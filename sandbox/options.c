/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The argument of -sandbox, and the names of the levels.
 *
 * Runs in: both programs.
 */
#include "sandbox/sandbox.h"

#include "util/error.h"
#include "util/options.h"

static const char *const level_names[] = {
    [SANDBOX_NONE] = "none",
    [SANDBOX_LOG] = "log",
    [SANDBOX_SECCOMP] = "seccomp",
    [SANDBOX_FULL] = "full",
};

const char *sandbox_level_name(SandboxLevel level)
{
    return level_names[level];
}

/* What QEMU's option asks for is less than what is so anyway; what it would allow is not to be had. */
static bool check_stock_keys(Options *opts, const char *arg, GError **errp)
{
    static const char *const keys[] = { "obsolete", "elevateprivileges", "spawn", "resourcecontrol" };

    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *value = options_get(opts, keys[i]);

        if (value && !g_str_equal(value, "deny")) {
            error_setg(errp, "-sandbox %s: %s=%s cannot be had, the sandbox allows no such calls; leave it out", arg,
                       keys[i], value);
            return false;
        }
    }
    return true;
}

bool sandbox_parse(const char *arg, bool namespaces, SandboxConfig *config, GError **errp)
{
    static const char *const known[] = {
        "mode", "ns", "obsolete", "elevateprivileges", "spawn", "resourcecontrol", NULL,
    };
    static const char *const modes[] = { "off", "on", "log", NULL };
    g_autoptr(Options) opts = options_parse("-sandbox", arg, "mode", errp);
    int mode = 0;

    if (!opts || !options_get_enum(opts, "mode", modes, &mode, errp) ||
        !options_get_bool(opts, "ns", &namespaces, errp) || !check_stock_keys(opts, arg, errp) ||
        !options_check_unused(opts, known, errp)) {
        return false;
    }
    if (!options_has(opts, "mode")) {
        error_setg(errp, "-sandbox %s: mode is missing; say on, off or log first", arg);
        return false;
    }
    if (mode == 0 && options_has(opts, "ns")) {
        error_setg(errp, "-sandbox %s: ns=%s contradicts off; leave it out, or say on or log", arg,
                   options_get(opts, "ns"));
        return false;
    }
    *config = (SandboxConfig) { .on = mode != 0, .log = mode == 2, .namespaces = mode != 0 && namespaces };
    return true;
}
