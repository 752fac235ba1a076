/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The opener's inside: what the main emulator and the opener say to each other.
 *
 * Thread: the only one of the opener; main side: as include/sandbox/opener.h.  Runs in: mpqemu and its opener.
 *
 * Protocol.  One message a request, an OpenerRequest with the path and its NUL behind it; one OpenerAnswer for each
 * OPENER_OPEN, with the descriptor when .step is OPENER_DONE.  Both ends are the same program, so these are plain
 * structs.
 */
#ifndef SANDBOX_OPENER_INT_H
#define SANDBOX_OPENER_INT_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/opener.h"

typedef enum OpenerKind {
    OPENER_OPEN,   /* .writable, path */
    OPENER_REMOVE, /* path; before OPENER_SEAL only */
    OPENER_SEAL,   /* nothing but the final NUL */
    OPENER_KINDS,
} OpenerKind;

typedef struct OpenerRequest {
    uint64_t serial; /* the main emulator's; the opener only repeats it */
    uint32_t kind;     /* OpenerKind */
    uint32_t writable; /* 0 or 1 */
    char path[];
} OpenerRequest;

#define OPENER_REQUEST_MAX (sizeof(OpenerRequest) + PATH_MAX)

/* What could not be done; the main side has a text for each. */
typedef enum OpenerStep {
    OPENER_DONE,
    OPENER_STEP_REQUEST, /* not well-formed */
    OPENER_STEP_OPEN,    /* .error */
    OPENER_STEP_KIND,    /* no regular file and no block device; .error: its S_IFMT */
    OPENER_STEP_KERNEL,  /* on a file system of the kernel's own */
    OPENER_STEPS,
} OpenerStep;

typedef struct OpenerAnswer {
    uint64_t serial;
    uint32_t step; /* OpenerStep */
    int32_t error;
} OpenerAnswer;

/* The opener's life on socket SOCK, in a process just forked off PARENT.  Does not return. */
void opener_child_main(int sock, pid_t parent);

#endif
