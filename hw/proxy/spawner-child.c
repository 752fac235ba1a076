/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The spawner: the small process that starts remote processes and tells how they ended.
 *
 * Runs in: mpqemu's spawner.
 *
 * Theory of operation.  One loop around poll(): the socket, a signalfd for SIGCHLD, and the error pipe
 * of each child that has not become its image yet.  Nothing waits for the main emulator: what is to be
 * told stays in the child's slot until the socket takes it, and no request is read without a free slot,
 * so memory is a static table.
 *
 * A slot: FREE -> EXECING (forked) -> RUNNING (its error pipe is at its end: it became the image, or was
 * killed on the way, which is told by its exit) -> ENDED (reaped) -> FREE when all is told.  A child that
 * could not exec goes from EXECING to ENDED and is told as a failure only when it has been reaped, so the
 * main emulator never counts fewer children than there are.  A request that is refused is ENDED at once.
 *
 * Ending begins with the end of the socket or of the main emulator, and takes no requests.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hw/proxy/spawner-int.h"
#include "io/fd-socket.h"
#include "sandbox/helper.h"
#include "sandbox/sandbox.h"
#include "util/fd.h"

G_STATIC_ASSERT(SPAWNER_FDS_MAX <= FD_SOCKET_MAX);

#define RETRY_MS 10

/* One above the limit, for the request that is refused because of it. */
#define SLOTS (SPAWNER_CHILDREN_MAX + 1)

typedef enum SlotState { SLOT_FREE, SLOT_EXECING, SLOT_RUNNING, SLOT_ENDED } SlotState;

typedef struct Slot {
    SlotState state;
    uint64_t serial;
    pid_t pid;
    int error_pipe;         /* EXECING; else -1 */
    int pidfd;              /* until STARTED is told; else -1 */
    bool started_told;
    int status;             /* ENDED, when it was reaped */
    SpawnerExecError error; /* step NONE: there was none */
} Slot;

/* How far the end has come; each stage has its time. */
typedef enum Ending { ENDING_NO, ENDING_GRACE, ENDING_TERM, ENDING_KILL } Ending;

static const int ending_ms[] = {
    [ENDING_GRACE] = SPAWNER_GRACE_MS,
    [ENDING_TERM] = SPAWNER_TERM_MS,
    [ENDING_KILL] = SPAWNER_TERM_MS, /* a process that hangs in the kernel cannot be waited for */
};

typedef struct Spawner {
    pid_t parent;
    int signal_fd;
    Slot slots[SLOTS];
    Ending ending;
    int64_t deadline_ms;
    bool sock_full;   /* the main emulator does not read */
    bool sock_failed; /* another reason, such as too many descriptors under way: tried again after RETRY_MS */
    bool restricted;
    char forms[SPAWNER_TEXT_MAX]; /* restricted: as they came */
    size_t forms_len;
    char *strings[SPAWNER_STRINGS_MAX + 2]; /* argv and envp, each with its NULL */
    union {
        SpawnerRequest header;
        char bytes[SPAWNER_REQUEST_MAX];
    } request;
} Spawner;

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- slots ------------------------------------------------------------------------------------- */

static Slot *free_slot(Spawner *s)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (s->slots[i].state == SLOT_FREE) {
            return &s->slots[i];
        }
    }
    return NULL;
}

/* Children that have not been reaped, and ends that the main emulator does not know yet. */
static unsigned slots_used(const Spawner *s)
{
    unsigned used = 0;

    for (unsigned i = 0; i < SLOTS; i++) {
        used += s->slots[i].state != SLOT_FREE;
    }
    return used;
}

static bool any_child(const Spawner *s)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (s->slots[i].state == SLOT_EXECING || s->slots[i].state == SLOT_RUNNING) {
            return true;
        }
    }
    return false;
}

static void slot_refuse(Slot *slot, SpawnerStep step, int error)
{
    slot->state = SLOT_ENDED;
    slot->error = (SpawnerExecError) { .step = step, .error = error };
}

/* The error pipe says something or is at its end; with nothing to read it is asked again later. */
static void slot_read_error(Slot *slot)
{
    ssize_t n = read(slot->error_pipe, &slot->error, sizeof(slot->error));

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    fd_close(&slot->error_pipe);
    if (n == 0) {
        slot->state = SLOT_RUNNING;
    } else if (n != sizeof(slot->error)) {
        slot->error = (SpawnerExecError) { .step = SPAWNER_STEP_EXEC, .error = EIO };
    }
}

static void slot_reaped(Slot *slot, int status)
{
    if (slot->state == SLOT_EXECING && slot->error_pipe >= 0) {
        /* Its other end died with the child. */
        slot_read_error(slot);
    }
    fd_close(&slot->error_pipe);
    slot->state = SLOT_ENDED;
    slot->status = status;
}

static void reap(Spawner *s)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        Slot *slot = &s->slots[i];
        int status;

        if ((slot->state == SLOT_EXECING || slot->state == SLOT_RUNNING) &&
            waitpid(slot->pid, &status, WNOHANG) == slot->pid) {
            slot_reaped(slot, status);
        }
    }
}

static void kill_all(Spawner *s, int number)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        Slot *slot = &s->slots[i];

        /* Not reaped yet, so the number is still its own. */
        if (slot->state == SLOT_EXECING || slot->state == SLOT_RUNNING) {
            kill(slot->pid, number);
        }
    }
}

/* ---- telling ------------------------------------------------------------------------------------- */

/* False: not told (now). */
static bool tell(Spawner *s, const SpawnerAnswer *answer, int fd)
{
    ssize_t n = fd_socket_send(HELPER_SOCK_FD, answer, sizeof(*answer), &fd, fd >= 0, MSG_DONTWAIT);

    s->sock_full = n == -EAGAIN;
    s->sock_failed = n < 0 && !s->sock_full;
    return n == sizeof(*answer);
}

static bool tell_started(Spawner *s, Slot *slot)
{
    SpawnerAnswer answer = { .serial = slot->serial, .kind = SPAWNER_STARTED, .pid = slot->pid };

    slot->started_told = tell(s, &answer, slot->pidfd);
    if (slot->started_told) {
        fd_close(&slot->pidfd);
    }
    return slot->started_told;
}

static bool tell_end(Spawner *s, Slot *slot)
{
    SpawnerAnswer answer = {
        .serial = slot->serial,
        .kind = slot->error.step ? SPAWNER_FAILED : SPAWNER_EXITED,
        .step = slot->error.step,
        .error = slot->error.error,
        .status = slot->status,
    };

    fd_close(&slot->pidfd); /* there is one still when it could not exec */
    if (!tell(s, &answer, -1)) {
        return false;
    }
    *slot = (Slot) { .state = SLOT_FREE, .error_pipe = -1, .pidfd = -1 };
    return true;
}

/* Tells what there is to tell; false: the socket takes no more at present. */
static bool tell_all(Spawner *s)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        Slot *slot = &s->slots[i];
        bool started = slot->state == SLOT_RUNNING || (slot->state == SLOT_ENDED && !slot->error.step);

        if ((started && !slot->started_told && !tell_started(s, slot)) ||
            (slot->state == SLOT_ENDED && !tell_end(s, slot))) {
            return false;
        }
    }
    return true;
}

/* ---- requests ------------------------------------------------------------------------------------ */

/* The string at *pos of TEXT, which is NUL-ended, or NULL when there is none left. */
static char *next_string(char *text, size_t len, size_t *pos)
{
    char *string = text + *pos;

    if (*pos >= len) {
        return NULL;
    }
    *pos += strlen(string) + 1;
    return string;
}

/* COUNT strings and a NULL into *table, which is moved behind them. */
static bool take_strings(char *text, size_t len, size_t *pos, unsigned count, char ***table)
{
    for (unsigned i = 0; i < count; i++) {
        char *string = next_string(text, len, pos);

        if (string == NULL) {
            return false;
        }
        *(*table)++ = string;
    }
    *(*table)++ = NULL;
    return true;
}

/* The request of LEN bytes in s->request as an image; false when it is not well-formed. */
static bool parse_request(Spawner *s, size_t len, unsigned fd_count, SpawnerImage *ret_image)
{
    SpawnerRequest *request = &s->request.header;
    char **table = s->strings;
    size_t pos = 0;
    char *path;

    len -= sizeof(*request);
    if (len == 0 || request->text[len - 1] != '\0' || request->fd_count != fd_count ||
        request->argc < 1 || request->argc > SPAWNER_STRINGS_MAX ||
        request->envc > SPAWNER_STRINGS_MAX - request->argc) {
        return false;
    }
    path = next_string(request->text, len, &pos);
    *ret_image = (SpawnerImage) { .path = path, .fd_count = fd_count };
    ret_image->argv = table;
    if (path[0] != '/' || !take_strings(request->text, len, &pos, request->argc, &table)) {
        return false;
    }
    ret_image->envp = table;
    request->comm[SPAWNER_COMM_SIZE - 1] = '\0';
    ret_image->comm = request->comm[0] ? request->comm : NULL;
    return take_strings(request->text, len, &pos, request->envc, &table) && pos == len;
}

/* Whether the form at *pos, which is left behind, is that of IMAGE. */
static bool form_fits(Spawner *s, size_t *pos, const SpawnerImage *image)
{
    char *string = next_string(s->forms, s->forms_len, pos);
    bool fits = strcmp(string, image->path) == 0;
    char *const *arg = image->argv + 1; /* the first is only what ps shows */

    while ((string = next_string(s->forms, s->forms_len, pos)) && string[0]) {
        fits = fits && *arg && strcmp(string, *arg) == 0;
        arg += fits;
    }
    return fits && *arg == NULL;
}

static bool may_start(Spawner *s, const SpawnerImage *image)
{
    bool fits = !s->restricted;

    for (size_t pos = 0; pos < s->forms_len && !fits;) {
        fits = form_fits(s, &pos, image) && image->envp[0] == NULL;
    }
    return fits;
}

/* False: not well-formed, or said before. */
static bool restrict_forms(Spawner *s, size_t len)
{
    len -= sizeof(SpawnerRequest);
    if (s->restricted || (len > 0 && s->request.header.text[len - 1] != '\0')) {
        return false;
    }
    memcpy(s->forms, s->request.header.text, len);
    s->forms_len = len;
    s->restricted = true;
    return true;
}

static void start_child(Spawner *s, Slot *slot, const SpawnerImage *image)
{
    int error_pipe[2];

    if (pipe2(error_pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
        slot_refuse(slot, SPAWNER_STEP_FORK, errno);
        return;
    }
    slot->pid = s->request.header.pid_namespace ? sandbox_fork() : fork();
    if (slot->pid == 0) {
        close(error_pipe[0]); /* the spawner is its only reader */
        spawner_exec(image, error_pipe[1]);
    }
    if (slot->pid < 0) {
        slot_refuse(slot, SPAWNER_STEP_FORK, errno);
        fd_close(&error_pipe[0]);
        fd_close(&error_pipe[1]);
        return;
    }
    fd_close(&error_pipe[1]);
    slot->state = SLOT_EXECING;
    slot->error_pipe = error_pipe[0];
    /* The child is not reaped before it is in the table: the number cannot mean another process. */
    slot->pidfd = (int)syscall(SYS_pidfd_open, slot->pid, 0);
    if (slot->pidfd < 0) {
        slot->error = (SpawnerExecError) { .step = SPAWNER_STEP_PIDFD, .error = errno };
        fd_close(&slot->error_pipe);
        kill(slot->pid, SIGKILL);
    }
}

static void handle_request(Spawner *s, Slot *slot, size_t len, FdSet *fds)
{
    SpawnerImage image;

    slot->serial = s->request.header.serial;
    if (fds->truncated) {
        slot_refuse(slot, SPAWNER_STEP_FDS, EMFILE);
    } else if (!parse_request(s, len, fds->num, &image)) {
        slot_refuse(slot, SPAWNER_STEP_REQUEST, 0);
    } else if (!may_start(s, &image)) {
        slot_refuse(slot, SPAWNER_STEP_FORM, 0);
    } else if (slots_used(s) >= SPAWNER_CHILDREN_MAX) {
        slot_refuse(slot, SPAWNER_STEP_CHILDREN, 0);
    } else {
        image.fds = fds->fds;
        start_child(s, slot, &image);
    }
}

static void begin_ending(Spawner *s)
{
    if (s->ending == ENDING_NO) {
        s->ending = ENDING_GRACE;
        s->deadline_ms = now_ms() + ending_ms[ENDING_GRACE];
        close(HELPER_SOCK_FD);
    }
}

static void receive_request(Spawner *s, Slot *slot)
{
    FdSet fds;
    /* MSG_TRUNC: the length is told whole, so one that is too long is seen. */
    ssize_t n = fd_socket_receive(HELPER_SOCK_FD, &s->request, sizeof(s->request), &fds, MSG_DONTWAIT | MSG_TRUNC);

    if (n == -EAGAIN || n == -EINTR) {
        return;
    }
    if (n < (ssize_t)sizeof(SpawnerRequest) || n > (ssize_t)sizeof(s->request)) {
        /* The end, or what the main emulator never sends: without its serial it cannot be answered. */
        begin_ending(s);
    } else if (s->request.header.restricts) {
        if (!restrict_forms(s, (size_t)n)) {
            begin_ending(s);
        }
    } else {
        handle_request(s, slot, (size_t)n, &fds);
    }
    fd_set_drop(&fds);
}

/* ---- loop ---------------------------------------------------------------------------------------- */

static void drain_signals(Spawner *s)
{
    struct signalfd_siginfo info;

    while (read(s->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        /* Anybody may send that signal. */
        if (info.ssi_signo == HELPER_PARENT_DIED && getppid() != s->parent) {
            begin_ending(s);
        }
    }
}

/* The next stage of the end when the present one's time is over.  False: all is over. */
static bool advance_ending(Spawner *s)
{
    if (!any_child(s)) {
        return false;
    }
    if (now_ms() < s->deadline_ms) {
        return true;
    }
    if (s->ending == ENDING_KILL) {
        return false;
    }
    s->ending++;
    s->deadline_ms = now_ms() + ending_ms[s->ending];
    kill_all(s, s->ending == ENDING_TERM ? SIGTERM : SIGKILL);
    return true;
}

/* Waits for work, and does it but for the telling. */
static void turn(Spawner *s)
{
    struct pollfd polled[2 + SLOTS];
    Slot *owners[2 + SLOTS];
    Slot *slot = free_slot(s);
    nfds_t count = 2;
    int timeout = -1;

    polled[0] = (struct pollfd) { .fd = s->signal_fd, .events = POLLIN };
    polled[1] = (struct pollfd) { .fd = -1 };
    if (s->ending) {
        timeout = (int)MAX(s->deadline_ms - now_ms(), 0);
    } else {
        polled[1].fd = HELPER_SOCK_FD;
        polled[1].events = (slot ? POLLIN : 0) | (s->sock_full ? POLLOUT : 0);
        timeout = s->sock_failed ? RETRY_MS : -1;
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        if (s->slots[i].error_pipe >= 0) {
            owners[count] = &s->slots[i];
            polled[count++] = (struct pollfd) { .fd = s->slots[i].error_pipe, .events = POLLIN };
        }
    }
    if (poll(polled, count, timeout) <= 0) {
        return;
    }
    for (nfds_t i = 2; i < count; i++) {
        if (polled[i].revents) {
            slot_read_error(owners[i]);
        }
    }
    if (polled[0].revents) {
        drain_signals(s);
    }
    reap(s);
    if (s->ending || !polled[1].revents) {
        return;
    }
    if (slot && (polled[1].revents & POLLIN)) {
        receive_request(s, slot);
    } else if (polled[1].revents & (POLLHUP | POLLERR)) {
        begin_ending(s);
    }
}

/* ---- start --------------------------------------------------------------------------------------- */

void spawner_child_main(int sock, pid_t parent)
{
    static Spawner spawner;
    Spawner *s = &spawner;

    s->parent = parent;
    for (unsigned i = 0; i < SLOTS; i++) {
        s->slots[i].error_pipe = s->slots[i].pidfd = -1;
    }
    s->signal_fd = helper_begin("spawner", sock, parent);
    if (s->signal_fd < 0) {
        _exit(1);
    }
    do {
        if (!s->ending) {
            tell_all(s);
        }
        turn(s);
    } while (!s->ending || advance_ending(s));
    _exit(0);
}
