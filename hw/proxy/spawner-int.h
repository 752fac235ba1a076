/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The spawner's inside: what main emulator and spawner say to each other, and the spawner's own parts.
 *
 * Thread: the only one of the spawner; main side: as include/hw/proxy/spawner.h.  Runs in: mpqemu.
 *
 * Protocol.  A SOCK_SEQPACKET pair.  Main emulator to spawner: SpawnerRequest with its strings behind it
 * and the descriptors of the keep list attached.  Back: SpawnerAnswer, for each request either FAILED, or
 * STARTED (with a pidfd) and later EXITED.  Both ends are the same program, so these are plain structs.
 */
#ifndef HW_PROXY_SPAWNER_INT_H
#define HW_PROXY_SPAWNER_INT_H

#include <stddef.h>
#include <stdint.h>

#include "hw/proxy/spawner.h"

/* After SIGTERM, before SIGKILL: what a process needs that only has to close its images. */
#define SPAWNER_TERM_MS 1000

/* As the kernel's TASK_COMM_LEN. */
#define SPAWNER_COMM_SIZE 16

typedef struct SpawnerRequest {
    uint64_t serial; /* the main emulator's name for the process; the spawner only repeats it */
    uint32_t argc, envc, fd_count;
    uint16_t pid_namespace; /* 0 or 1 */
    uint16_t restricts; /* 0 or 1: no process is asked for, `text` is what may be (spawner_restrict()) */
    char comm[SPAWNER_COMM_SIZE]; /* may fill it without a final NUL; empty: none */
    /*
     * Path, arguments, environment: each with its NUL.  Or forms: path and arguments, each with its NUL, and one more
     * NUL.
     */
    char text[];
} SpawnerRequest;

G_STATIC_ASSERT(sizeof(SpawnerRequest) == offsetof(SpawnerRequest, text));

#define SPAWNER_REQUEST_MAX (sizeof(SpawnerRequest) + SPAWNER_TEXT_MAX)

typedef enum SpawnerAnswerKind {
    SPAWNER_FAILED,  /* .step, .error */
    SPAWNER_STARTED, /* .pid; a pidfd is attached */
    SPAWNER_EXITED,  /* .status */
} SpawnerAnswerKind;

/* What could not be done; the main side has a text for each. */
typedef enum SpawnerStep {
    SPAWNER_STEP_NONE,
    SPAWNER_STEP_REQUEST,  /* the request is not well-formed */
    SPAWNER_STEP_FDS,      /* the descriptors did not all arrive */
    SPAWNER_STEP_FORM,     /* restricted, and no form fits */
    SPAWNER_STEP_CHILDREN, /* SPAWNER_CHILDREN_MAX are alive */
    SPAWNER_STEP_FORK,
    SPAWNER_STEP_PIDFD,
    SPAWNER_STEP_PLACE,    /* the descriptors could not get their numbers */
    SPAWNER_STEP_OPEN,
    SPAWNER_STEP_REGULAR,  /* no regular file */
    SPAWNER_STEP_EXEC,
    SPAWNER_STEPS,
} SpawnerStep;

typedef struct SpawnerAnswer {
    uint64_t serial;
    uint32_t kind; /* SpawnerAnswerKind */
    uint32_t step; /* SpawnerStep */
    int32_t error; /* errno of the step; 0: the step says all */
    int32_t pid;
    int32_t status; /* as waitpid(2) */
} SpawnerAnswer;

/* What the child becomes; all memory is the spawner's. */
typedef struct SpawnerImage {
    const char *path;
    char *const *argv;
    char *const *envp;
    const char *comm; /* NULL: none */
    const int *fds;   /* none of them below 3 */
    unsigned fd_count;
} SpawnerImage;

/* What the child writes into its error pipe when it does not become the image. */
typedef struct SpawnerExecError {
    uint32_t step;
    int32_t error;
} SpawnerExecError;

/*
 * The spawner's life on socket SOCK, in a process just forked off PARENT; every signal is blocked.
 * Closes all that was inherited but SOCK and standard output and error (sandbox/helper.h).
 */
void spawner_child_main(int sock, pid_t parent);

/*
 * In a child just forked off the spawner: becomes IMAGE, or writes a SpawnerExecError into ERROR_FD
 * (close-on-exec), whose reader is the spawner, and ends.
 */
G_NORETURN void spawner_exec(const SpawnerImage *image, int error_fd);

#endif
