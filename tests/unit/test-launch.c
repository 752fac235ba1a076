/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the launcher's plan: which process gets which arguments and which ends of which socketpair.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <glib.h>

#include "count-fds.h"
#include "under-valgrind.h"
#include "launch/config.h"
#include "launch/emulator-args.h"
#include "launch/plan.h"

static LaunchConfig *config_of(char **argv)
{
    GError *err = NULL;
    LaunchConfig *config = launch_config_parse((int)g_strv_length(argv), argv, &err);

    g_assert_no_error(err);
    return config;
}

/* The words of PROCESS after its name, with a blank between each two; the numbers of its descriptors as #0, #1... */
static char *words_of(const LaunchProcess *process)
{
    GString *text = g_string_new(NULL);

    for (guint i = 1; process->argv->pdata[i]; i++) {
        g_string_append_printf(text, "%s%s", i > 1 ? " " : "", (char *)process->argv->pdata[i]);
    }
    for (guint i = 0; i < process->fds->len; i++) {
        g_autofree char *number = g_strdup_printf("fd=%d", g_array_index(process->fds, int, i));
        g_autofree char *name = g_strdup_printf("#%u", i);

        g_string_replace(text, number, name, 0);
    }
    return g_string_free(text, FALSE);
}

static void expect_words(const LaunchProcess *process, const char *words)
{
    g_autofree char *found = words_of(process);

    g_assert_cmpstr(found, ==, words);
    for (guint i = 0; i < process->fds->len; i++) {
        g_assert_cmpint(fcntl(g_array_index(process->fds, int, i), F_GETFD), ==, FD_CLOEXEC);
    }
}

static void expect_connected(const LaunchProcess *one, guint one_fd, const LaunchProcess *other, guint other_fd)
{
    char byte = (char)(one_fd * 16 + other_fd), got;

    g_assert_cmpint(write(g_array_index(one->fds, int, one_fd), &byte, 1), ==, 1);
    g_assert_cmpint(read(g_array_index(other->fds, int, other_fd), &got, 1), ==, 1);
    g_assert_cmpint(got, ==, byte);
}

static void test_plan(void)
{
    g_auto(GStrv) argv = g_strsplit("launch --name web --grace 7 "
                                    "--remote disk,device=lsi0,device=lsi1,exec=/r -device a,id=lsi0 "
                                    "--remote rid=0,control=on,device=lsi2,exec=/x,,y --link fd=@fd:lsi2@ "
                                    "-- qemu -device p,addr=5,fd=@fd:lsi1@", " ", -1);
    g_autoptr(LaunchConfig) config = config_of(argv);
    int before = count_fds();
    LaunchPlan *plan = launch_plan_new(config, NULL);
    LaunchProcess *disk, *second;

    g_assert_nonnull(plan);
    g_assert_cmpuint(plan->grace, ==, 7);
    g_assert_cmpuint(plan->remotes->len, ==, 2);
    disk = plan->remotes->pdata[0];
    second = plan->remotes->pdata[1];
    g_assert_cmpstr(disk->program, ==, "/r");
    g_assert_cmpstr(disk->argv->pdata[0], ==, "qemu-remote: web/disk");
    g_assert_cmpstr(disk->devices, ==, "lsi0, lsi1");
    expect_words(disk, "-device a,id=lsi0 -object x-remote-object,id=link-lsi0,devid=lsi0,#0 "
                 "-object x-remote-object,id=link-lsi1,devid=lsi1,#1");
    g_assert_cmpstr(second->program, ==, "/x,y");
    g_assert_cmpstr(second->argv->pdata[0], ==, "qemu-remote: web/0");
    expect_words(second, "--link #1 -chardev socket,id=control,#0 -mon chardev=control,mode=control "
                 "-no-shutdown");
    g_assert_cmpstr(plan->emulator->argv->pdata[0], ==, "qemu");
    expect_words(plan->emulator, "-device p,addr=5,#1 -device x-pci-proxy-dev,id=lsi0,#0 -remote rid=0,#2 "
                 "-device x-pci-proxy-dev,id=lsi2,#3");
    for (guint i = 0; i < 4; i++) {
        LaunchProcess *remote = i < 2 ? disk : second;

        expect_connected(plan->emulator, i, remote, i % 2);
        expect_connected(remote, i % 2, plan->emulator, i);
    }
    g_assert_cmpint(count_fds(), ==, before + 8);
    launch_plan_free(plan);
    g_assert_cmpint(count_fds(), ==, before);
}

/* The last --remote or the emulator is at fault: what was made before is closed. */
static void expect_no_plan(const char *line, const char *text)
{
    g_auto(GStrv) argv = g_strsplit(line, " ", -1);
    g_autoptr(LaunchConfig) config = config_of(argv);
    g_autoptr(GError) err = NULL;
    int before = count_fds();

    g_assert_null(launch_plan_new(config, &err));
    g_assert_nonnull(strstr(err->message, text));
    g_assert_cmpint(count_fds(), ==, before);
}

static void test_refused_plans(void)
{
    expect_no_plan("launch --remote a,device=d,exec=/r -- qemu -x fd=@fd:e@", "@fd:e@");
    expect_no_plan("launch --remote a,device=d,exec=/r -- qemu @control:a@", "@control:a@");
    expect_no_plan("launch --remote a,device=d,exec=/r @fd:e@ --remote b,device=e,exec=/r -- qemu", "this remote");
    /* This program's directory has no qemu-remote. */
    expect_no_plan("launch --remote a,device=d,exec=/r --remote b,device=e -- qemu", "exec=PATH");
}

static void test_too_few_descriptors(void)
{
    struct rlimit limit, few;

    if (skip_under_valgrind("its limit of descriptors is not the kernel's")) {
        return;
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    few = limit;
    few.rlim_cur = (rlim_t)count_fds() + 2; /* a pair and a half */
    setrlimit(RLIMIT_NOFILE, &few);
    expect_no_plan("launch --remote a,device=d,device=e,device=f,exec=/r -- qemu", "ulimit -n");
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void test_text_that_only_looks_like_a_place(void)
{
    g_auto(GStrv) argv = g_strsplit("launch --remote a,device=d,exec=/r me@fd: -- qemu x@fd:d %s%n @fd@", " ", -1);
    g_autoptr(LaunchConfig) config = config_of(argv);
    g_autoptr(LaunchPlan) plan = launch_plan_new(config, NULL);

    g_assert_nonnull(plan);
    expect_words(plan->remotes->pdata[0], "me@fd: -object x-remote-object,id=link-d,devid=d,#0");
    expect_words(plan->emulator, "x@fd:d %s%n @fd@ -device x-pci-proxy-dev,id=d,#0");
}

static void test_names(void)
{
    static const struct {
        const char *line, *name;
    } cases[] = {
        { "launch --remote a,device=d -- qemu", "vm" },
        { "launch --remote a,device=d -- qemu -name web", "web" },
        { "launch --remote a,device=d -- qemu -name debug-threads=on", "vm" },
        { "launch --remote a,device=d -- qemu --name guest=a,,b,debug-threads=on", "a,b" },
        { "launch --name own --remote a,device=d -- qemu -name web", "own" },
        { "launch --remote a,device=d --name=x -name y -- qemu", "vm" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(GStrv) argv = g_strsplit(cases[i].line, " ", -1);
        g_autoptr(LaunchConfig) config = config_of(argv);

        g_assert_cmpstr(config->vm_name, ==, cases[i].name);
    }
}

static void test_plain_command(void)
{
    g_auto(GStrv) command = g_strsplit("qemu -version -device p,fd=@fd:d@ -remote fd=@control:r@ -S", " ", -1);
    g_auto(GStrv) odd = g_strsplit("qemu @fd:d@", " ", -1);
    g_autoptr(GPtrArray) plain = launch_plain_command(command);
    g_autoptr(GPtrArray) short_one = launch_plain_command(odd);

    g_assert_cmpuint(plain->len, ==, 4);
    g_assert_cmpstr(plain->pdata[0], ==, "qemu");
    g_assert_cmpstr(plain->pdata[1], ==, "-version");
    g_assert_cmpstr(plain->pdata[2], ==, "-S");
    g_assert_null(plain->pdata[3]);
    g_assert_cmpuint(short_one->len, ==, 2); /* the program itself stays */
}

static void test_emulator_args(void)
{
    static const struct {
        const char *line;
        bool no_guest, daemonize;
    } cases[] = {
        { "q", false, false },
        { "q -daemonize", false, true },
        { "q --daemonize -machine none", true, true },
        { "q -append -daemonize", false, false },
        { "q -append", false, false },
        { "q -machine", false, false },
        { "q -machine none,accel=kvm:tcg", true, false },
        { "q -machine =,none", false, false },
        { "q -M pc --machine type=none", true, false },
        { "q -M none -M pc", false, false },
        { "q -cpu -help", true, false },
        { "q -device x,help", true, false },
        { "q -device x,helper=1", false, false },
        { "q -name help", false, false },
        { "q - -- help", false, false },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(GStrv) command = g_strsplit(cases[i].line, " ", -1);
        EmulatorArgs args;

        g_test_message("%s", cases[i].line);
        emulator_args_read(command, &args);
        g_assert_cmpint(args.no_guest, ==, cases[i].no_guest);
        g_assert_cmpint(args.daemonize, ==, cases[i].daemonize);
        g_free(args.name);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launch/processes-get-arguments-and-ends-of-pairs", test_plan);
    g_test_add_func("/launch/refused-plan-leaves-no-descriptor", test_refused_plans);
    g_test_add_func("/launch/too-few-descriptors-for-a-plan", test_too_few_descriptors);
    g_test_add_func("/launch/text-that-is-no-place-stays", test_text_that_only_looks_like_a_place);
    g_test_add_func("/launch/name-of-the-machine", test_names);
    g_test_add_func("/launch/plain-command-has-no-places", test_plain_command);
    g_test_add_func("/launch/emulator-arguments-are-read", test_emulator_args);
    return g_test_run();
}
