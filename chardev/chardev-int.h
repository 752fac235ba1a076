/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside chardev/, and for tests that make a backend up: what all backends have in common, and what those on
 * descriptors do.
 *
 * Thread: as chardev.h says.  Runs in: mpqemu.
 *
 * Ownership.  A Chardev is counted: the list of backends holds one reference, the front another.  So a front that stays
 * until the end of the program keeps something that it may write to.
 */
#ifndef CHARDEV_CHARDEV_INT_H
#define CHARDEV_CHARDEV_INT_H

#include "chardev/chardev.h"
#include "util/event-loop.h"

/* CHARDEV_STALL_NS; tests set it lower. */
extern int64_t chardev_stall_ns;

/* What a kind of backend does; NULL where nothing is to be done. */
typedef struct ChardevClass {
    const char *name; /* as in -chardev */
    size_t (*write)(Chardev *chr, const uint8_t *data, size_t len); /* NULL: all is dropped */
    size_t (*room)(Chardev *chr);
    void (*accept_input)(Chardev *chr);
    /* Instead of being the front's itself it gives the front something; ops are set by the caller.  NULL with *errp. */
    Chardev *(*attach)(Chardev *chr, GError **errp);
    void (*detached)(Chardev *chr); /* `ops` has become NULL */
    void (*start)(Chardev *chr);
    bool (*waiting)(Chardev *chr); /* holds up the start of the machine */
    bool (*in_use)(Chardev *chr);  /* has a front; NULL: when it has `ops` */
    void (*stop)(Chardev *chr);    /* at the end of the program; nothing but free() is called behind it */
    void (*free)(Chardev *chr);    /* the last reference has gone: frees CHR itself, too */
} ChardevClass;

struct Chardev {
    const ChardevClass *klass;
    char *id; /* of chardev_init() */
    char *filename; /* what it is connected to, for people; owned.  Whoever opens it may set it; NULL: its kind */
    unsigned refs;
    const ChardevOps *ops; /* the front's; NULL: none */
    void *opaque;
};

/* Sets up CHR, whose memory klass->free() frees, with one reference.  ID is copied. */
void chardev_init(Chardev *chr, const ChardevClass *klass, const char *id);
Chardev *chardev_ref(Chardev *chr);
void chardev_unref(Chardev *chr); /* accepts NULL */

/* Puts CHR (its reference is taken) into the list of backends. */
void chardev_register(Chardev *chr);

/* The front's functions; nothing, or 0, when there is none. */
size_t chardev_front_can_read(Chardev *chr);
void chardev_front_read(Chardev *chr, const uint8_t *data, size_t len);
void chardev_front_can_write(Chardev *chr);
void chardev_front_event(Chardev *chr, ChardevEvent event);

/* Makes a backend of OPTS, whose keys are known to be of its kind; NULL with *errp. */
typedef Chardev *ChardevOpen(const char *id, Options *opts, GError **errp);
ChardevOpen chardev_open_socket, chardev_open_stdio, chardev_open_file, chardev_open_pty;

/* ---- backends on descriptors (stream.c) ---------------------------------------------------------------- */

typedef struct StreamChardev {
    Chardev chr;
    /* All is the stream's but for these three, which whoever made it may set and read. */
    void (*gone)(struct StreamChardev *stream); /* the peer has gone and the descriptors are closed; NULL: never mind */
    void (*freed)(struct StreamChardev *stream); /* before the memory goes */
    bool started;                               /* chardevs_start() was called: input is taken */

    int in_fd, out_fd; /* owned; -1: none.  The same for a socket */
    bool is_socket;
    EventSource *in_source;  /* of a socket: for both directions.  NULL: not watched now */
    EventSource *out_source; /* NULL: a socket, or a file, which is always ready */
    EventBh *bh;             /* all that must happen in the main loop */
    EventTimer *stall_timer; /* the peer's time to take something, or the front's, once the peer has hung up */
    bool in_unwatchable;     /* a file: deferred calls read */
    bool in_ended;           /* nothing more comes */
    bool hung;               /* the peer has gone; what it has sent may still be read */
    bool stalled;            /* it takes nothing: what does not fit is dropped */
    bool full;               /* the front is to be told of room */
    bool told_error;         /* a file cannot take more */

    uint8_t *queue; /* ring of CHARDEV_QUEUE bytes */
    size_t first, count;
} StreamChardev;

extern const ChardevClass stream_chardev_class;

/* For classes of their own above a stream: their table has these. */
size_t stream_chardev_write(Chardev *chr, const uint8_t *data, size_t len);
size_t stream_chardev_room(Chardev *chr);
void stream_chardev_accept_input(Chardev *chr);
void stream_chardev_detached(Chardev *chr);
void stream_chardev_start(Chardev *chr);
void stream_chardev_stop(Chardev *chr);
void stream_chardev_free(Chardev *chr);

/* Sets up STREAM (zeroed, from g_new0()) without descriptors. */
void stream_chardev_init(StreamChardev *stream, const ChardevClass *klass, const char *id);

/*
 * Gives STREAM, which has none, its descriptors (taken): IN_FD or OUT_FD may be -1; both are the same for a socket.
 * False with errno when they cannot be watched.
 */
bool stream_chardev_take_fds(StreamChardev *stream, int in_fd, int out_fd, bool is_socket);

/* ---- sharing (mux.c) -------------------------------------------------------------------------------- */

/* A mux on BASE (its reference is taken), with BASE's id.  Registers itself. */
void chardev_mux_new(Chardev *base);

bool chardev_is_mux_of(Chardev *chr);

#endif
