/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The option -sandbox, and profiles composed from tables.  What a confined process can do is
 * tests/qtest/test_sandbox.py's.
 */
#include <errno.h>
#include <string.h>
#include <glib.h>

#include "sandbox/profile-int.h"
#include "sandbox/sandbox.h"

/* ---- option --------------------------------------------------------------------------------------------------- */

static void test_option_says_what_is_confined(void)
{
    static const struct {
        const char *arg;
        SandboxConfig config;
    } cases[] = {
        { "off", { false, false, false } },
        { "on", { true, false, true } },
        { "on,ns=on", { true, false, true } },
        { "on,ns=off", { true, false, false } },
        { "log", { true, true, true } },
        { "log,ns=off", { true, true, false } },
        { "off,spawn=deny", { false, false, false } },
        { "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", { true, false, true } },
        { "mode=on", { true, false, true } },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        SandboxConfig config = { false, false, false };

        g_assert_true(sandbox_parse(cases[i].arg, true, &config, NULL));
        g_assert_cmpint(config.on, ==, cases[i].config.on);
        g_assert_cmpint(config.log, ==, cases[i].config.log);
        g_assert_cmpint(config.namespaces, ==, cases[i].config.namespaces);
    }
}

static void test_option_is_refused_with_its_value(void)
{
    static const struct {
        const char *arg, *word;
    } cases[] = {
        { "maybe", "maybe" }, { "on,ns=maybe", "maybe" }, { "on,nosuch=1", "nosuch" }, { "", "say on, off or log" },
        { "ns=on", "say on, off or log" }, { "spawn=deny", "say on, off or log" },
        { "off,ns=on", "ns=on contradicts off" }, { "off,ns=off", "ns=off contradicts off" },
        { "on,spawn=allow", "spawn=allow" }, { "on,elevateprivileges=children", "elevateprivileges=children" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        SandboxConfig config = { true, true, true };
        g_autoptr(GError) err = NULL;

        g_assert_false(sandbox_parse(cases[i].arg, true, &config, &err));
        g_assert_nonnull(strstr(err->message, cases[i].word));
    }
}

/* ---- profiles ------------------------------------------------------------------------------------------------- */

static const SyscallTable first = {
    "first", (const SyscallRule[]) {
        SYSCALL(read, "reads"),
        SYSCALL(fcntl, "flags", ARG_IS(1, 3)),
        SYSCALL(fcntl, "locks", ARG_IS(1, 37)),
        SYSCALL_REFUSED(openat, ENOENT, "no files"),
        SYSCALL_REFUSED(write, EPERM, "no output"),
        SYSCALL_END,
    },
};

static const SyscallTable second = {
    "second", (const SyscallRule[]) {
        SYSCALL(write, "writes"),
        SYSCALL(read, "reads more"),
        SYSCALL(mmap, "memory", ARG_BITS(2, 4, 0)),
        SYSCALL_END,
    },
};

static const SyscallTable generous = {
    "generous", (const SyscallRule[]) { SYSCALL(fcntl, "whatever"), SYSCALL_END },
};

static void test_tables_become_one_list(void)
{
    static const SyscallTable *const profile[] = { &first, &second, NULL };
    g_autofree char *text = sandbox_profile_text("x", profile);

    g_assert_cmpuint(sandbox_profile_count(profile), ==, 4);
    g_assert_cmpstr(text, ==,
                    "x: 4 system calls\n"
                    "  fcntl arg1 == 0x3\n      first: flags\n"
                    "  fcntl arg1 == 0x25\n      first: locks\n"
                    "  mmap arg2 & 0x4 == 0x0\n      second: memory\n"
                    "  read\n      first, second: reads; reads more\n"
                    "  write\n      second: writes\n"
                    "x: not made, but no reason to die\n"
                    "  openat -> ENOENT\n      first: no files\n");
}

static void test_condition_yields_to_a_call_without(void)
{
    static const SyscallTable *const profile[] = { &first, &generous, NULL };
    g_autoptr(GArray) entries = profile_compose(profile);

    g_assert_cmpuint(sandbox_profile_count(profile), ==, 2);
    for (guint i = 0; i < entries->len; i++) {
        const SyscallRule *rule = g_array_index(entries, ProfileEntry, i).rule;

        g_assert_true(rule->number != SYS_fcntl || syscall_rule_is_plain(rule));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sandbox/option/says-what-is-confined", test_option_says_what_is_confined);
    g_test_add_func("/sandbox/option/is-refused-with-its-value", test_option_is_refused_with_its_value);
    g_test_add_func("/sandbox/profile/tables-become-one-list", test_tables_become_one_list);
    g_test_add_func("/sandbox/profile/condition-yields-to-a-call-without", test_condition_yields_to_a_call_without);
    return g_test_run();
}
