/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of pci-proxy-dev's re-attachment with real device processes: ours, and stock QEMU's when it is installed.
 *
 * Each process has an LSI 53c895a without a disk.  Stock QEMU answers before the end of its own start-up, which resets
 * the device; so it is started right before the re-attachment, and often.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy-rig.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/machine-lock.h"

#define SCRATCHA 0x34 /* a register of the controller that keeps what is written */

static bool told_dead(Rig *rig)
{
    return rig->told == PCI_PROXY_DEAD;
}

/* Starts PROGRAM; *ret_fd is our end of its link. */
static pid_t start_process(const char *program, int *ret_fd)
{
    g_autofree char *object = NULL;
    int pair[2];
    pid_t pid;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    object = g_strdup_printf("x-remote-object,id=r0,devid=lsi0,fd=%d", pair[1]);
    pid = fork();
    if (pid == 0) {
        int copy = dup(pair[1]); /* without close-on-exec */

        dup2(copy, pair[1]);
        close(copy);
        execlp(program, program, "-machine", "x-remote", "-nodefaults", "-display", "none", "-device",
               "lsi53c895a,id=lsi0", "-object", object, (char *)NULL);
        _exit(127);
    }
    g_assert_cmpint(pid, >, 0);
    close(pair[1]);
    *ret_fd = pair[0];
    return pid;
}

static void end_process(pid_t pid)
{
    int status;

    kill(pid, SIGKILL);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
}

/* The first attachment, by hot-plug, to a process instead of the rig's own remote. */
static pid_t plug(Rig *rig, const char *program)
{
    int fd;
    pid_t pid = start_process(program, &fd);
    int inherited = dup(fd);

    close(fd);
    close(rig->proxy_fd);
    rig->proxy_fd = inherited;
    g_assert_true(rig_try_start(rig, 20000, &rig->add_error));
    rig_watch(rig);
    return pid;
}

static void program_guest(Rig *rig)
{
    vcpu_config_write(rig, PCI_BASE_ADDRESS_0, 0xc000, 4);
    vcpu_config_write(rig, PCI_BASE_ADDRESS_1, 0xe0000000, 4);
    vcpu_config_write(rig, PCI_BASE_ADDRESS_2, 0xe0002000, 4);
    vcpu_config_write(rig, PCI_INTERRUPT_LINE, 11, 1);
    vcpu_config_write(rig, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

static void check_guest(Rig *rig, unsigned n)
{
    g_assert_cmphex(vcpu_config_read(rig, PCI_BASE_ADDRESS_0, 4), ==, 0xc001);
    g_assert_cmphex(vcpu_config_read(rig, PCI_BASE_ADDRESS_1, 4), ==, 0xe0000000);
    g_assert_cmphex(vcpu_config_read(rig, PCI_BASE_ADDRESS_2, 4), ==, 0xe0002000);
    g_assert_cmphex(vcpu_config_read(rig, PCI_INTERRUPT_LINE, 1), ==, 11);
    g_assert_cmphex(vcpu_config_read(rig, PCI_COMMAND, 2), ==, 7);
    g_assert_cmphex(vcpu_read(0xe0000000 + SCRATCHA, 4), ==, 0); /* a new device */
    vcpu_write(0xe0000000 + SCRATCHA, n, 4);
    g_assert_cmphex(vcpu_read(0xe0000000 + SCRATCHA, 4), ==, n);
}

static void test_restarts(gconstpointer data)
{
    const char *program = data;
    g_autofree char *path = g_find_program_in_path(program);
    static Rig rig;
    pid_t pid;

    if (path == NULL) {
        g_test_skip("it is not installed");
        return;
    }
    rig_init(&rig);
    pid = plug(&rig, path);
    program_guest(&rig);
    check_guest(&rig, 0x100);
    for (unsigned n = 1; n <= 12; n++) {
        GError *error = NULL;
        int fd;

        end_process(pid);
        rig_wait(&rig, told_dead);
        pid = start_process(path, &fd);
        rig.told = PCI_PROXY_REATTACHING;
        pci_proxy_reattach_take_fd(rig.proxy, fd, &error);
        g_assert_no_error(error);
        rig_wait(&rig, rig_told_end);
        g_assert_cmpstr(rig.reason, ==, NULL);
        check_guest(&rig, n);
    }
    rig_unplug(&rig);
    end_process(pid);
    rig_cleanup(&rig);
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = { pci_proxy_dev_get_type, NULL };
    const char *ours = g_getenv("MPQEMU_REMOTE");

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    qom_register_types(types);
    event_loop_set_wait_hooks(event_loop_main(), machine_unlock, machine_lock);
    g_test_add_data_func("/proxy/processes/ours", ours ? ours : "qemu-remote", test_restarts);
    g_test_add_data_func("/proxy/processes/stock", "qemu-system-x86_64", test_restarts);
    return g_test_run();
}
