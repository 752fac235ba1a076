/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the command line parser and of named descriptors.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <glib.h>

#include "util/cmdline.h"
#include "util/error.h"
#include "util/fd-name.h"

static GString *seen;

static bool note(const char *arg, void *opaque, GError **errp)
{
    g_assert_true(opaque == &seen);
    g_string_append_printf(seen, "[%s]", arg ? arg : "-");
    return true;
}

static bool refuse(const char *arg, void *opaque, GError **errp)
{
    error_setg(errp, "refused %s", arg);
    return false;
}

static const CmdlineOption table[] = {
    { "device", "DRIVER", "adds a device\nof any kind", note, "Devices" },
    { "help", NULL, "prints this", note, "Other" },
    { "h", NULL, NULL, note },
    { "bad", "ARG", "is refused", refuse },
    { "long", "A |\n      B", "has a syntax of two lines", note },
    { NULL },
};

static bool parse(GError **errp, const char *line)
{
    g_auto(GStrv) argv = g_strsplit(line, " ", -1);

    if (seen) {
        g_string_free(seen, TRUE);
    }
    seen = g_string_new(NULL);
    return cmdline_parse(table, (int)g_strv_length(argv), argv, &seen, errp);
}

static void expect_failure(const char *line, const char *text, const char *handled)
{
    g_autoptr(GError) err = NULL;

    g_assert_false(parse(&err, line));
    g_assert_nonnull(strstr(err->message, text));
    g_assert_cmpstr(seen->str, ==, handled);
}

static void test_parse(void)
{
    g_assert_true(parse(NULL, "prog"));
    g_assert_cmpstr(seen->str, ==, "");
    g_assert_true(parse(NULL, "prog -device a,b=c --device -x -h --help"));
    g_assert_cmpstr(seen->str, ==, "[a,b=c][-x][-][-]");
}

static void test_refusals(void)
{
    expect_failure("prog -nope", "-nope: unknown option", "");
    expect_failure("prog -h -device", "-device: its argument is missing; give -device DRIVER", "[-]");
    expect_failure("prog -long", "-long: its argument is missing; give -long A | B", "");
    expect_failure("prog -h disk.img -h", "unexpected argument 'disk.img'", "[-]");
    expect_failure("prog -", "unexpected argument '-'", "");
    expect_failure("prog --", "--: unknown option", "");
    expect_failure("prog ---help", "---help: unknown option", "");
    expect_failure("prog -bad x -h", "refused x", "");
}

static void test_help(void)
{
    g_autofree char *text = cmdline_help(table, "usage: prog");

    g_assert_true(g_str_has_prefix(text, "usage: prog\n"));
    g_assert_nonnull(strstr(text, "-device DRIVER"));
    g_assert_nonnull(strstr(text, "of any kind"));
    g_assert_nonnull(strstr(text, "-help, -h "));
    g_assert_nonnull(strstr(text, "Devices"));
}

static void test_fd_names(void)
{
    GError *err = NULL;
    int fd = dup(STDOUT_FILENO);
    g_autofree char *number = g_strdup_printf("%d", fd);

    g_assert_true(fd_name_add_take_fd("disk", fd, NULL));
    g_assert_cmpint(fd_name_or_number_take("fd", "disk", NULL), ==, fd);
    /* A name serves once. */
    g_assert_cmpint(fd_name_or_number_take("fd", "disk", &err), ==, -1);
    g_assert_nonnull(strstr(err->message, "fd=disk: there is no descriptor of this name"));
    g_clear_error(&err);
    /* A number, as inherited; not one of our own. */
    g_assert_cmpint(fd_name_or_number_take("fd", number, NULL), ==, fd);
    g_assert_cmpint(fcntl(fd, F_SETFD, FD_CLOEXEC), ==, 0);
    g_assert_cmpint(fd_name_or_number_take("fd", number, &err), ==, -1);
    g_assert_nonnull(strstr(err->message, "in use by this program"));
    g_clear_error(&err);
    /* The second of a name replaces the first; a bad name closes what it was given. */
    g_assert_true(fd_name_add_take_fd("a", dup(STDOUT_FILENO), NULL));
    g_assert_true(fd_name_add_take_fd("a", fd, NULL));
    g_assert_cmpint(fd_name_or_number_take("fd", "a", NULL), ==, fd);
    g_assert_false(fd_name_add_take_fd("1a", fd, &err));
    g_assert_nonnull(strstr(err->message, "begin with a letter"));
    g_clear_error(&err);
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1);
    /* Taken back. */
    fd = dup(STDOUT_FILENO);
    g_assert_cmpuint(fd_name_count(), ==, 0);
    g_assert_true(fd_name_add_take_fd("b", fd, NULL));
    g_assert_cmpuint(fd_name_count(), ==, 1);
    g_assert_false(fd_name_remove("a"));
    g_assert_true(fd_name_remove("b"));
    g_assert_false(fd_name_remove("b"));
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cmdline/parse", test_parse);
    g_test_add_func("/cmdline/refusals", test_refusals);
    g_test_add_func("/cmdline/help", test_help);
    g_test_add_func("/fd-name/takes-names-and-numbers", test_fd_names);
    status = g_test_run();
    g_string_free(seen, TRUE);
    return status;
}
