/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "stdio": standard input and output, and the modes of the terminal there.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  On a terminal, keys go to the guest one by one and without an echo, which the guest makes.
 * With signal=off (the default with mux=on) Ctrl-C, Ctrl-Z and Ctrl-\ are the guest's, too.
 *
 * The modes as they were come back at exit(), when the program dies of a signal that can be caught, and while it is
 * stopped by SIGTSTP.  In the background the terminal is somebody else's: then its modes are left alone, until
 * SIGCONT finds us in front again.  What signal handlers touch is constant while they are installed.
 */
#include "chardev/chardev-int.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>
#include "chardev/terminal.h"
#include "chardev/unix-socket.h"
#include "util/error.h"
#include "util/fd.h"

static int terminal_fd = -1; /* a duplicate; -1: none is in use */
static struct termios modes_before, modes_ours;
static pid_t own_pid;
static volatile sig_atomic_t active; /* the terminal's modes are ours to set */

/* ---- modes --------------------------------------------------------------------------------------- */

static void set_modes(const struct termios *modes)
{
    pid_t foreground;
    int saved_errno = errno;

    if (active) {
        foreground = tcgetpgrp(terminal_fd);
        if (foreground < 0 || foreground == getpgrp()) {
            tcsetattr(terminal_fd, TCSANOW, modes);
        }
    }
    errno = saved_errno;
}

static void restore_modes(void)
{
    set_modes(&modes_before);
    active = 0;
}

/* Ctrl-Z, with signal=on, or somebody's kill -TSTP. */
static void on_stop(int sig)
{
    set_modes(&modes_before);
    syscall(SYS_tgkill, own_pid, own_pid, SIGSTOP);
}

static void on_continue(int sig)
{
    set_modes(&modes_ours);
}

/*
 * The action was reset to the default one, which comes when the handler returns to the instruction that failed.  What
 * somebody has sent must be sent again; a confined process may not, and ends otherwise.
 */
static void on_death(int sig, siginfo_t *info, void *context)
{
    set_modes(&modes_before);
    if (info->si_code <= 0 && syscall(SYS_tgkill, own_pid, own_pid, sig) < 0) {
        _exit(128 + sig);
    }
}

/* HANDLER is for a signal to go on after, NULL for a deadly one. */
static void catch_signal(int sig, void (*handler)(int))
{
    struct sigaction old, action = { .sa_flags = SA_RESTART };

    /* Not what a sanitizer or another part of the program does with it. */
    if (sigaction(sig, NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL) {
        sigemptyset(&action.sa_mask);
        if (handler) {
            action.sa_handler = handler;
        } else {
            action.sa_sigaction = on_death;
            action.sa_flags |= SA_SIGINFO | SA_RESETHAND;
        }
        sigaction(sig, &action, NULL);
    }
}

static void terminal_begin(int fd, bool signals)
{
    static const int deadly[] = { SIGABRT, SIGSEGV, SIGILL, SIGFPE, SIGQUIT };

    terminal_fd = fd_dup(fd);
    if (terminal_fd < 0 || tcgetattr(terminal_fd, &modes_before) < 0) {
        fd_close(&terminal_fd);
        return;
    }
    modes_ours = modes_before;
    modes_ours.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    modes_ours.c_oflag |= OPOST; /* lines of our own messages end well */
    modes_ours.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
    if (!signals) {
        modes_ours.c_lflag &= ~(tcflag_t)ISIG;
    }
    modes_ours.c_cflag = (modes_ours.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
    modes_ours.c_cc[VMIN] = 1;
    modes_ours.c_cc[VTIME] = 0;
    own_pid = getpid();
    active = 1;
    atexit(restore_modes);
    catch_signal(SIGTSTP, on_stop);
    catch_signal(SIGCONT, on_continue);
    for (unsigned i = 0; i < G_N_ELEMENTS(deadly); i++) {
        catch_signal(deadly[i], NULL);
    }
    set_modes(&modes_ours);
}

bool stdio_window_size(struct winsize *ret_size)
{
    return terminal_fd >= 0 && ioctl(terminal_fd, TIOCGWINSZ, ret_size) == 0;
}

/* ---- the device ---------------------------------------------------------------------------------- */

static void stdio_stop(Chardev *chr)
{
    stream_chardev_stop(chr);
    restore_modes();
}

static const ChardevClass stdio_class = {
    .name = "stdio",
    .write = stream_chardev_write,
    .room = stream_chardev_room,
    .accept_input = stream_chardev_accept_input,
    .detached = stream_chardev_detached,
    .start = stream_chardev_start,
    .stop = stdio_stop,
    .free = stream_chardev_free,
};

Chardev *chardev_open_stdio(const char *id, Options *opts, GError **errp)
{
    StreamChardev *self;
    bool mux = false, signals;
    int in_fd, out_fd;

    if (!options_get_bool(opts, "mux", &mux, errp)) {
        return NULL;
    }
    signals = !mux; /* who shares it has Ctrl-A x to end the program */
    if (!options_get_bool(opts, "signal", &signals, errp) || !stdio_claim(errp) || !stdio_open(&in_fd, &out_fd, errp)) {
        return NULL;
    }
    if (isatty(in_fd)) {
        terminal_begin(in_fd, signals);
    }
    self = g_new0(StreamChardev, 1);
    stream_chardev_init(self, &stdio_class, id);
    stream_chardev_take_fds(self, in_fd, out_fd, false);
    return &self->chr;
}

/* ---- system calls of all of chardev/ ------------------------------------------------------------- */

const SyscallTable chardev_syscalls = {
    "character devices", (const SyscallRule[]) {
        SYSCALL(accept4, "peers of a serial port's socket"),
        SYSCALL(sendmsg, "output to sockets"),
        SYSCALL(recvmsg, "input from sockets"),
        SYSCALL(read, "input from terminals and pipes"),
        SYSCALL(write, "output to terminals, pipes and files"),
        SYSCALL(poll, "whether a pipe or terminal is ready"),
        SYSCALL(ioctl, "gives a terminal its modes back", ARG_IS(1, TCSETS)),
        SYSCALL(ioctl, "whose turn it is at the terminal", ARG_IS(1, TIOCGPGRP)),
        SYSCALL(ioctl, "the size of the terminal", ARG_IS(1, TIOCGWINSZ)),
        SYSCALL(ioctl, "the size of the terminal of a monitor that shares it", ARG_IS(1, TIOCSWINSZ)),
        SYSCALL(getpgrp, "whether it is our turn at the terminal"),
        SYSCALL(tgkill, "stops itself by Ctrl-Z", ARG_IS(2, SIGSTOP)),
        SYSCALL(rt_sigreturn, "goes on after Ctrl-Z"),
        SYSCALL_END,
    },
};
