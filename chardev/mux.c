/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sharing a backend (mux=on): several ports, one person, and the escape character Ctrl-A.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  The mux is the front of its backend; each chardev_attach() makes a port, which is a Chardev
 * of its own.  Input goes to the port in focus; what the person types behind Ctrl-A is for the mux (keys[]).  Output
 * of the guest's ports is always shown.  A monitor's port holds its output back until it has the focus.
 *
 * Input is read whether or not the guest takes it, since Ctrl-A must be seen.  A port keeps PORT_INPUT bytes; when
 * these are full the backend is held back, and after CHARDEV_STALL_NS without the front taking any, what does not fit
 * is dropped: a guest that hangs cannot take Ctrl-A x away, and one that is only busy loses nothing.
 */
#include "chardev/chardev-int.h"

#include <string.h>
#include <sys/ioctl.h>
#include "chardev/pty.h"
#include "chardev/terminal.h"
#include "system/runstate.h"
#include "trace/chardev.h"
#include "util/error.h"
#include "util/fd.h"

/* Four serial ports, a debug console, monitors. */
#define MUX_PORTS_MAX 8

/* A pasted page of text. */
#define PORT_INPUT 4096

#define ESCAPE 1 /* Ctrl-A */

typedef struct MuxChardev MuxChardev;

typedef struct MuxPort {
    Chardev chr;
    MuxChardev *mux;      /* NULL: it has gone */
    bool holds_output;    /* a monitor's */
    bool blocked;         /* the front is to be told of room */
    bool stalled;         /* the front takes no input: what does not fit is dropped */
    uint8_t input[PORT_INPUT]; /* ring */
    size_t first, count;
} MuxPort;

struct MuxChardev {
    Chardev chr;          /* in the list of backends; nobody's but for its id */
    Chardev *base;        /* NULL: stopped */
    MuxPort *ports[MUX_PORTS_MAX]; /* in order of their making, without holes */
    unsigned num_ports, focus;
    EventBh *bh;          /* gives kept input to the fronts */
    EventTimer *stall_timer; /* the focused front's time to take some */
    bool escaped;         /* Ctrl-A came last */
    bool timestamps, in_line; /* in_line: the last byte that was shown did not end a line */
    int64_t timestamps_from;
    char stamp[24];       /* of the line that begins */
    size_t stamp_len, stamp_shown;
};

static MuxChardev *of(Chardev *chr)
{
    return (MuxChardev *)(void *)chr;
}

static MuxPort *port_of(Chardev *chr)
{
    return (MuxPort *)(void *)chr;
}

static MuxPort *focused(MuxChardev *mux)
{
    return mux->num_ports > 0 ? mux->ports[mux->focus] : NULL;
}

static bool is_held(MuxPort *port)
{
    return port->holds_output && focused(port->mux) != port;
}

/* ---- output -------------------------------------------------------------------------------------- */

static void begin_stamp(MuxChardev *mux)
{
    int64_t ms = (event_clock_ns(EVENT_CLOCK_REAL) - mux->timestamps_from) / 1000000;

    mux->stamp_len = (size_t)g_snprintf(mux->stamp, sizeof(mux->stamp), "[%02u:%02u:%02u.%03u] ",
                                        (unsigned)(ms / 3600000 % 100), (unsigned)(ms / 60000 % 60),
                                        (unsigned)(ms / 1000 % 60), (unsigned)(ms % 1000));
    mux->stamp_shown = 0;
}

/* Up to the end of a line, each with the time in front.  A stamp that does not fit goes on with the next call. */
static size_t write_stamped(MuxChardev *mux, const uint8_t *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        const uint8_t *end = memchr(data + done, '\n', len - done);
        size_t run = end ? (size_t)(end - data) + 1 - done : len - done, taken;

        if (!mux->in_line && mux->stamp_shown == mux->stamp_len) {
            begin_stamp(mux);
            mux->in_line = true;
        }
        mux->stamp_shown += chardev_write(mux->base, mux->stamp + mux->stamp_shown, mux->stamp_len - mux->stamp_shown);
        if (mux->stamp_shown < mux->stamp_len) {
            break;
        }
        taken = chardev_write(mux->base, data + done, run);
        done += taken;
        if (taken < run) {
            break;
        }
        mux->in_line = !end;
    }
    return done;
}

static size_t port_write(Chardev *chr, const uint8_t *data, size_t len)
{
    MuxPort *port = port_of(chr);
    MuxChardev *mux = port->mux;
    size_t taken;

    if (!mux || !mux->base) {
        return len;
    }
    if (is_held(port)) {
        port->blocked = true;
        return 0;
    }
    if (mux->timestamps && !port->holds_output) {
        taken = write_stamped(mux, data, len);
    } else {
        taken = chardev_write(mux->base, data, len);
        mux->in_line = taken > 0 ? data[taken - 1] != '\n' : mux->in_line;
    }
    port->blocked |= taken < len;
    return taken;
}

static size_t port_room(Chardev *chr)
{
    MuxPort *port = port_of(chr);
    size_t room;

    if (!port->mux || !port->mux->base) {
        return CHARDEV_QUEUE;
    }
    room = is_held(port) ? 0 : chardev_room(port->mux->base);
    port->blocked |= room == 0;
    return room;
}

static void tell_room(MuxPort *port)
{
    if (port->blocked && !is_held(port)) {
        port->blocked = false;
        chardev_front_can_write(&port->chr);
    }
}

static void base_can_write(void *opaque)
{
    MuxChardev *mux = opaque;

    for (unsigned i = 0; i < mux->num_ports; i++) {
        tell_room(mux->ports[i]);
    }
}

/* Text of the mux's own; what does not fit is lost. */
static void show(MuxChardev *mux, const char *text)
{
    chardev_write(mux->base, text, strlen(text));
    mux->in_line = false;
}

/* ---- input --------------------------------------------------------------------------------------- */

/* Gives the front what it takes of what is kept. */
static void deliver(MuxPort *port)
{
    while (port->count > 0) {
        size_t len = MIN(chardev_front_can_read(&port->chr), MIN(port->count, PORT_INPUT - port->first));
        const uint8_t *data = port->input + port->first;

        if (len == 0) {
            break;
        }
        port->first = (port->first + len) % PORT_INPUT;
        port->count -= len;
        port->stalled = false;
        chardev_front_read(&port->chr, data, len);
    }
}

static void keep(MuxPort *port, uint8_t byte)
{
    if (port && port->count < PORT_INPUT) {
        port->input[(port->first + port->count++) % PORT_INPUT] = byte;
    }
}

static void show_focus(MuxChardev *mux)
{
    MuxPort *port = focused(mux);
    g_autofree char *name = NULL;

    if (port->holds_output) {
        show(mux, "\r\n[monitor]\r\n");
    } else {
        name = g_strdup_printf("\r\n[port %u]\r\n", mux->focus + 1);
        show(mux, name);
    }
}

static void key_help(MuxChardev *mux);

static void key_exit(MuxChardev *mux)
{
    show(mux, "\r\nmpqemu: terminated by Ctrl-A x\r\n");
    shutdown_request_for(0, SHUTDOWN_CAUSE_HOST_UI);
}

static void key_switch(MuxChardev *mux)
{
    if (mux->num_ports > 1) {
        mux->focus = (mux->focus + 1) % mux->num_ports;
        trace_chardev_mux_focus(mux->chr.id, mux->focus);
        show_focus(mux);
        chardev_front_event(&focused(mux)->chr, CHARDEV_EVENT_OPENED);
        tell_room(focused(mux));
    }
}

static void key_break(MuxChardev *mux)
{
    if (focused(mux)) {
        chardev_front_event(&focused(mux)->chr, CHARDEV_EVENT_BREAK);
    }
}

static void key_timestamps(MuxChardev *mux)
{
    mux->timestamps = !mux->timestamps;
    mux->timestamps_from = event_clock_ns(EVENT_CLOCK_REAL);
    mux->stamp_len = mux->stamp_shown = 0;
}

static void key_literal(MuxChardev *mux)
{
    keep(focused(mux), ESCAPE);
}

static const struct {
    char key;
    const char *help; /* NULL: another key of the one above */
    void (*run)(MuxChardev *mux);
} keys[] = {
    { 'h', "this help", key_help },
    { '?', NULL, key_help },
    { 'x', "end the program", key_exit },
    { 'b', "send a break to the serial port", key_break },
    { 'c', "go to the next of the serial ports and the monitor", key_switch },
    { 't', "switch times in front of lines on or off", key_timestamps },
    { ESCAPE, "send Ctrl-A", key_literal },
};

static void key_help(MuxChardev *mux)
{
    g_autoptr(GString) text = g_string_new("\r\n");

    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (keys[i].help) {
            g_autofree char *key = keys[i].key == ESCAPE ? g_strdup("Ctrl-A") : g_strdup_printf("%c", keys[i].key);

            g_string_append_printf(text, "Ctrl-A %-8s%s\r\n", key, keys[i].help);
        }
    }
    show(mux, text->str);
}

/* Another key than those of the table does nothing. */
static void run_key(MuxChardev *mux, uint8_t key)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        if ((uint8_t)keys[i].key == key) {
            keys[i].run(mux);
        }
    }
}

static void arm_stall_timer(MuxChardev *mux)
{
    event_timer_arm(mux->stall_timer, event_clock_ns(EVENT_CLOCK_REAL) + chardev_stall_ns);
}

/* Without a port, and when the front does not take anything, all can come and only Ctrl-A counts. */
static size_t base_can_read(void *opaque)
{
    MuxPort *port = focused(opaque);

    return !port || port->stalled ? PORT_INPUT : PORT_INPUT - port->count;
}

static void base_read(void *opaque, const uint8_t *data, size_t len)
{
    MuxChardev *mux = opaque;
    MuxPort *port;

    for (size_t i = 0; i < len; i++) {
        if (mux->escaped) {
            mux->escaped = false;
            run_key(mux, data[i]);
        } else if (data[i] == ESCAPE) {
            mux->escaped = true;
        } else {
            keep(focused(mux), data[i]);
        }
    }
    for (unsigned i = 0; i < mux->num_ports; i++) {
        deliver(mux->ports[i]);
    }
    port = focused(mux);
    if (port && port->count == PORT_INPUT && !port->stalled) {
        arm_stall_timer(mux);
    }
}

static void base_event(void *opaque, ChardevEvent event)
{
    MuxChardev *mux = opaque;

    for (unsigned i = 0; i < mux->num_ports; i++) {
        chardev_front_event(&mux->ports[i]->chr, event);
    }
}

static void stall_expired(void *opaque)
{
    MuxChardev *mux = opaque;
    MuxPort *port = focused(mux);

    if (port && port->count == PORT_INPUT) {
        trace_chardev_stalled(mux->chr.id, port->count);
        port->stalled = true;
        chardev_accept_input(mux->base);
    }
}

static void port_accept_input(Chardev *chr)
{
    if (port_of(chr)->mux) {
        event_bh_schedule(port_of(chr)->mux->bh);
    }
}

/* Fronts have room: they get what is kept, and more can come. */
static void mux_step(void *opaque)
{
    MuxChardev *mux = opaque;

    for (unsigned i = 0; i < mux->num_ports; i++) {
        deliver(mux->ports[i]);
    }
    chardev_accept_input(mux->base);
}

/* ---- ports --------------------------------------------------------------------------------------- */

static void port_detached(Chardev *chr)
{
    MuxPort *port = port_of(chr);
    MuxChardev *mux = port->mux;
    unsigned place = 0;

    if (!mux) {
        return;
    }
    while (mux->ports[place] != port) {
        place++;
    }
    mux->num_ports--;
    memmove(mux->ports + place, mux->ports + place + 1, (mux->num_ports - place) * sizeof(mux->ports[0]));
    if (mux->focus > place || mux->focus == mux->num_ports) {
        mux->focus = mux->focus > 0 ? mux->focus - 1 : 0;
    }
    port->mux = NULL;
}

static const ChardevClass port_class = {
    .name = "mux port",
    .write = port_write,
    .room = port_room,
    .accept_input = port_accept_input,
    .detached = port_detached,
};

static Chardev *mux_attach(Chardev *chr, GError **errp)
{
    MuxChardev *mux = of(chr);
    MuxPort *port;

    if (mux->num_ports == MUX_PORTS_MAX) {
        error_setg(errp, "chardev=%s: %u share it already; give the others one of their own", chr->id, MUX_PORTS_MAX);
        return NULL;
    }
    port = g_new0(MuxPort, 1);
    chardev_init(&port->chr, &port_class, chr->id);
    port->mux = mux;
    mux->ports[mux->num_ports++] = port;
    return &port->chr;
}

/* ---- a monitor's port ------------------------------------------------------------------------------ */

/* What comes at one end goes out at the other: the port of the mux, and our end of the monitor's terminal. */
typedef struct Bridge {
    Chardev *port, *terminal;
    int size_fd; /* owned: to set the terminal's size */
} Bridge;

static size_t port_can_read(void *opaque)
{
    return chardev_room(((Bridge *)opaque)->terminal);
}

static void port_read(void *opaque, const uint8_t *data, size_t len)
{
    chardev_write(((Bridge *)opaque)->terminal, data, len);
}

static void port_can_write(void *opaque)
{
    chardev_accept_input(((Bridge *)opaque)->terminal);
}

/* The monitor has got the focus: it lays its lines out for the person's terminal. */
static void port_event(void *opaque, ChardevEvent event)
{
    Bridge *bridge = opaque;
    struct winsize size;

    if (event == CHARDEV_EVENT_OPENED && stdio_window_size(&size)) {
        ioctl(bridge->size_fd, TIOCSWINSZ, &size);
    }
}

static size_t terminal_can_read(void *opaque)
{
    return chardev_room(((Bridge *)opaque)->port);
}

static void terminal_read(void *opaque, const uint8_t *data, size_t len)
{
    chardev_write(((Bridge *)opaque)->port, data, len);
}

static void terminal_can_write(void *opaque)
{
    chardev_accept_input(((Bridge *)opaque)->port);
}

/* The terminal's backend goes at the end of the program, and the bridge with it. */
static void bridge_freed(StreamChardev *stream)
{
    Bridge *bridge = stream->chr.opaque;

    fd_close(&bridge->size_fd);
    g_free(bridge);
}

static void terminal_stop(Chardev *chr)
{
    Bridge *bridge = chr->opaque;

    stream_chardev_stop(chr);
    chardev_detach(bridge->port);
    bridge->port = NULL;
    chr->ops = NULL;
}

static const ChardevClass terminal_class = {
    .name = "monitor's terminal",
    .write = stream_chardev_write,
    .room = stream_chardev_room,
    .accept_input = stream_chardev_accept_input,
    .start = stream_chardev_start,
    .stop = terminal_stop,
    .free = stream_chardev_free,
};

int chardev_mux_terminal(const char *id, GError **errp)
{
    static const ChardevOps port_ops = { port_can_read, port_read, port_can_write, port_event };
    static const ChardevOps terminal_ops = { terminal_can_read, terminal_read, terminal_can_write, NULL };
    g_autofree char *terminal_id = g_strdup_printf("%s monitor", id); /* no user's: it has a blank */
    Bridge *bridge = g_new0(Bridge, 1);
    StreamChardev *stream;
    int in_fd, out_fd, terminal;

    bridge->port = chardev_attach(id, &port_ops, bridge, errp);
    if (!bridge->port || !pty_open(&in_fd, &out_fd, &terminal, errp)) {
        chardev_detach(bridge->port);
        g_free(bridge);
        return -1;
    }
    port_of(bridge->port)->holds_output = true;
    stream = g_new0(StreamChardev, 1);
    stream_chardev_init(stream, &terminal_class, terminal_id);
    stream->freed = bridge_freed;
    bridge->terminal = &stream->chr;
    bridge->size_fd = fd_dup(in_fd);
    stream->chr.ops = &terminal_ops;
    stream->chr.opaque = bridge;
    stream_chardev_take_fds(stream, in_fd, out_fd, false);
    chardev_register(&stream->chr);
    port_event(bridge, CHARDEV_EVENT_OPENED);
    return terminal;
}

/* ---- the mux itself ------------------------------------------------------------------------------ */

static void mux_start(Chardev *chr)
{
    if (of(chr)->base->klass->start) {
        of(chr)->base->klass->start(of(chr)->base);
    }
}

static bool mux_waiting(Chardev *chr)
{
    Chardev *base = of(chr)->base;

    return base->klass->waiting && base->klass->waiting(base);
}

static bool mux_in_use(Chardev *chr)
{
    return of(chr)->num_ports > 0;
}

static void mux_stop(Chardev *chr)
{
    MuxChardev *mux = of(chr);
    Chardev *base = mux->base;

    if (base->klass->stop) {
        base->klass->stop(base);
    }
    mux->base = NULL;
    chardev_detach(base);
    event_timer_free(mux->stall_timer);
    event_bh_free(mux->bh);
    for (unsigned i = 0; i < mux->num_ports; i++) {
        mux->ports[i]->mux = NULL;
    }
    mux->num_ports = 0;
}

static const ChardevClass mux_class = {
    .name = "mux",
    .attach = mux_attach,
    .start = mux_start,
    .waiting = mux_waiting,
    .in_use = mux_in_use,
    .stop = mux_stop,
};

bool chardev_is_mux_of(Chardev *chr)
{
    return chr->klass == &mux_class;
}

void chardev_mux_new(Chardev *base)
{
    static const ChardevOps base_ops = { base_can_read, base_read, base_can_write, base_event };
    MuxChardev *mux = g_new0(MuxChardev, 1);

    chardev_init(&mux->chr, &mux_class, base->id);
    mux->chr.filename = g_strdup(base->filename);
    mux->bh = event_bh_new(event_loop_main(), mux_step, mux);
    mux->stall_timer = event_timer_new(event_loop_main(), EVENT_CLOCK_REAL, stall_expired, mux);
    mux->base = base;
    base->ops = &base_ops;
    base->opaque = mux;
    chardev_register(&mux->chr);
}
