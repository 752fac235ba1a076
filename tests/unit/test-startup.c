/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of what both programs do with an accepted command line: actions, -add-fd.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "util/cmdline.h"
#include "util/error.h"
#include "util/fd-name.h"
#include "util/fd.h"

static GString *seen;

static bool act(Options *opts, GError **errp)
{
    const char *name = options_get(opts, "name");

    g_string_append_printf(seen, "[%s]", name);
    if (g_str_equal(name, "bad")) {
        error_setg(errp, "cannot be");
    } else if (g_str_equal(name, "worse")) {
        error_setg(errp, "-thing worse cannot be");
    }
    return !strpbrk(name, "bw");
}

static void expect_run(const char *const *names, const char *acted, const char *message)
{
    g_autoptr(GPtrArray) actions = cmdline_actions_new();
    g_autoptr(GError) err = NULL;

    seen = g_string_new(NULL);
    for (; *names; names++) {
        g_assert_true(cmdline_action_add(actions, "-thing", *names, "name", NULL));
    }
    g_assert_true(cmdline_actions_run(actions, act, &err) == !message);
    g_assert_cmpstr(err ? err->message : NULL, ==, message);
    g_assert_cmpstr(seen->str, ==, acted);
    g_string_free(seen, TRUE);
}

static void test_actions(void)
{
    static const char *const good[] = { "a,x=1", "c", NULL };
    static const char *const bad[] = { "a", "bad,x=1", "c", NULL };
    static const char *const worse[] = { "worse", NULL };
    g_autoptr(GPtrArray) actions = cmdline_actions_new();
    g_autoptr(GError) err = NULL;

    expect_run(good, "[a][c]", NULL);
    expect_run(bad, "[a][bad]", "-thing bad,x=1: cannot be");
    expect_run(worse, "[worse]", "-thing worse cannot be");
    g_assert_false(cmdline_action_add(actions, "-thing", "a,=", "name", &err));
    g_assert_nonnull(strstr(err->message, "-thing"));
    g_assert_cmpuint(actions->len, ==, 0);
}

static bool add_fd(const char *text, bool named, GError **errp)
{
    g_autoptr(Options) opts = options_parse("-add-fd", text, NULL, errp);

    return opts && fd_add_option(opts, named, errp);
}

static void test_add_fd(void)
{
    static const struct {
        const char *text;
        const char *message;
    } wrong[] = {
        { "set=1", "fd is missing" },       { "fd=0", "set is missing" },
        { "fd=0,set=-1", "set" },           { "fd=999999,set=1", "999999" },
        { "fd=0,set=1,colour=2", "colour" },
    };
    int fd = dup(STDOUT_FILENO);
    g_autofree char *text = g_strdup_printf("fd=%d,set=7,opaque=out", fd);
    GError *err = NULL;
    int found;

    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_assert_false(add_fd(wrong[i].text, true, &err));
        g_assert_true(g_str_has_prefix(err->message, "-add-fd") || strstr(err->message, "fd: "));
        g_assert_nonnull(strstr(err->message, wrong[i].message));
        g_clear_error(&err);
    }
    g_assert_true(add_fd(text, false, NULL));
    g_assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    found = fd_open_path("/dev/fdset/7", fcntl(fd, F_GETFL) & O_ACCMODE, NULL);
    g_assert_cmpint(found, >=, 0);
    fd_close(&found);
    g_assert_cmpint(fd_name_or_number_take("fd", "out", NULL), ==, -1);
    g_assert_true(add_fd(text, true, NULL));
    found = fd_name_or_number_take("fd", "out", NULL);
    g_assert_true(found >= 0 && found != fd);
    fd_close(&found);
}

/* Whoever takes a number has it alone, whatever he does with it. */
static void test_a_number_is_taken_once(void)
{
    int fd = dup(STDOUT_FILENO);
    g_autofree char *number = g_strdup_printf("%d", fd);

    g_assert_cmpint(fd_name_or_number_take("fd", number, NULL), ==, fd);
    g_assert_cmpint(fd_name_or_number_take("fd", number, NULL), ==, -1);
    close(fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/startup/actions", test_actions);
    g_test_add_func("/startup/add-fd", test_add_fd);
    g_test_add_func("/startup/a-number-is-taken-once", test_a_number_is_taken_once);
    return g_test_run();
}
