/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver "blkdebug": errors and slowness on demand, with QEMU's options and one of our own.
 *
 * Runs in: both.
 *
 * Rules: "inject-error.N.event=read_aio|..." with errno, sector, iotype, once, state, immediately;
 * "inject-delay.N.event=" with ns and cancellable, and with sector, iotype, once, state; and "set-state.N.event=..."
 * with state, new_state.  A request has events by its kind; an error or delay rule hits a request that has the rule's
 * event while the state fits, if iotype and sector fit too.  After that the state rules of its events apply.  States
 * are numbers, the first is 1; state=0 in a rule means any.
 *
 * "inject-delay" is ours: the request waits for ns nanoseconds here, and then goes on to the image, or to its error.  A
 * cancel ends the wait at once with ECANCELED.  With cancellable=off it does not: that is a host whose storage hangs.
 *
 * In QEMU a rule that has seen its event strikes the next request of any kind; here it is the request that had the
 * event.  A write with FUA also has the events of a flush, as in QEMU, which writes and then flushes.
 */
#include <errno.h>
#include "block/block-int.h"
#include "trace/block.h"
#include "util/error.h"

/* iotype bits, in the order of iotype_names. */
enum {
    IO_READ = 1 << 0,
    IO_WRITE = 1 << 1,
    IO_WRITE_ZEROES = 1 << 2,
    IO_DISCARD = 1 << 3,
    IO_FLUSH = 1 << 4,
    IO_ALL = (1 << 5) - 1,
};

static const char *const iotype_names[] = { "read", "write", "write-zeroes", "discard", "flush", NULL };

/* The events that a raw image can have, and the kinds of requests that have them. */
static const char *const event_names[] = {
    "none", "read_aio", "write_aio", "pwritev", "pwritev_zero", "flush_to_os", "flush_to_disk", NULL,
};
static const unsigned event_kinds[] = {
    IO_ALL, IO_READ, IO_WRITE, IO_WRITE, IO_WRITE_ZEROES, IO_FLUSH, IO_FLUSH,
};

/* Longer than all limits of ours, and than a test. */
#define DELAY_MAX_NS (3600 * G_GUINT64_CONSTANT(1000000000))

typedef struct Rule {
    unsigned kinds;     /* requests that have its event, less those that iotype leaves out */
    uint64_t state;     /* 0: any */
    bool has_sector;
    uint64_t sector;
    bool once, used_up;
    int error;          /* error rules: -errno */
    uint64_t delay_ns;  /* delay rules */
    bool cancellable;   /* delay rules */
    uint64_t new_state; /* state rules */
} Rule;

typedef struct BlkdebugState {
    uint64_t state;
    GArray *errors; /* of Rule, as are the others */
    GArray *delays;
    GArray *states;
} BlkdebugState;

/* What all kinds of rules have. */
static bool read_event(Rule *rule, Options *opts, GError **errp)
{
    int event = 0;

    if (!options_get_enum(opts, "event", event_names, &event, errp) ||
        !options_get_uint(opts, "state", INT32_MAX, &rule->state, errp)) {
        return false;
    }
    rule->kinds = event_kinds[event];
    return true;
}

/* What rules have that hit requests. */
static bool read_hit(Rule *rule, Options *opts, GError **errp)
{
    int iotype = -1;

    rule->has_sector = options_has(opts, "sector") && g_strcmp0(options_get(opts, "sector"), "-1");
    if (!read_event(rule, opts, errp) ||
        !options_get_enum(opts, "iotype", iotype_names, &iotype, errp) ||
        (rule->has_sector && !options_get_uint(opts, "sector", INT64_MAX / BLOCK_SECTOR, &rule->sector, errp)) ||
        !options_get_bool(opts, "once", &rule->once, errp)) {
        return false;
    }
    rule->kinds &= iotype < 0 ? IO_ALL : 1u << iotype;
    return true;
}

static bool read_error_rule(Rule *rule, Options *opts, GError **errp)
{
    static const char *const keys[] = {
        "event", "state", "iotype", "errno", "sector", "once", "immediately", NULL,
    };
    uint64_t error = EIO;
    bool immediately; /* QEMU: without a turn of the event loop in between; no completion of ours is like that */

    if (!read_hit(rule, opts, errp) || !options_get_uint(opts, "errno", 4095, &error, errp) ||
        !options_get_bool(opts, "immediately", &immediately, errp)) {
        return false;
    }
    if (!error) {
        error_setg(errp, "%s: blkdebug: errno=0 is no error; use a positive errno value (5 is EIO)",
                   options_name(opts));
        return false;
    }
    rule->error = -(int)error;
    return options_check_unused(opts, keys, errp);
}

static bool read_delay_rule(Rule *rule, Options *opts, GError **errp)
{
    static const char *const keys[] = { "event", "state", "iotype", "sector", "once", "ns", "cancellable", NULL };

    rule->cancellable = true;
    if (!read_hit(rule, opts, errp) || !options_get_uint(opts, "ns", DELAY_MAX_NS, &rule->delay_ns, errp) ||
        !options_get_bool(opts, "cancellable", &rule->cancellable, errp)) {
        return false;
    }
    if (!rule->delay_ns) {
        error_setg(errp, "%s: blkdebug: a delay without ns= is none; give the time in nanoseconds (1000000 is 1 ms)",
                   options_name(opts));
        return false;
    }
    return options_check_unused(opts, keys, errp);
}

static bool read_state_rule(Rule *rule, Options *opts, GError **errp)
{
    static const char *const keys[] = { "event", "state", "new_state", NULL };

    return read_event(rule, opts, errp) &&
           options_get_uint(opts, "new_state", INT32_MAX, &rule->new_state, errp) &&
           options_check_unused(opts, keys, errp);
}

/* Reads "NAME.0.*", "NAME.1.*", ... until there is no event.  NULL with *errp on a bad one. */
static GArray *read_rules(const char *name, bool (*read_rule)(Rule *rule, Options *opts, GError **errp),
                          Options *opts, GError **errp)
{
    g_autoptr(GArray) rules = g_array_new(FALSE, FALSE, sizeof(Rule));

    for (;;) {
        g_autofree char *prefix = g_strdup_printf("%s.%u.", name, rules->len);
        g_autofree char *event = g_strconcat(prefix, "event", NULL);
        g_autoptr(Options) rule_opts = NULL;
        Rule rule = { 0 };

        /* Stray keys ("inject-error.7.errno") stay unused and are refused by the caller. */
        if (!options_has(opts, event)) {
            return g_steal_pointer(&rules);
        }
        rule_opts = options_take_prefix(opts, prefix);
        if (!read_rule(&rule, rule_opts, errp)) {
            return NULL;
        }
        g_array_append_val(rules, rule);
    }
}

static void blkdebug_close(BlockNode *node)
{
    BlkdebugState *s = node->state;

    g_clear_pointer(&s->errors, g_array_unref);
    g_clear_pointer(&s->delays, g_array_unref);
    g_clear_pointer(&s->states, g_array_unref);
}

static bool blkdebug_open(BlockNode *node, Options *opts, GError **errp)
{
    BlkdebugState *s = node->state;

    s->state = 1;
    s->errors = read_rules("inject-error", read_error_rule, opts, errp);
    s->delays = s->errors ? read_rules("inject-delay", read_delay_rule, opts, errp) : NULL;
    s->states = s->delays ? read_rules("set-state", read_state_rule, opts, errp) : NULL;
    if (!s->states) {
        blkdebug_close(node);
        return false;
    }
    return true;
}

/* The kinds that OP counts as: FUA makes a write count as a flush too. */
static unsigned op_kinds(const BlockOp *op)
{
    static const unsigned kinds[] = {
        [BLOCK_OP_READ] = IO_READ,
        [BLOCK_OP_WRITE] = IO_WRITE,
        [BLOCK_OP_FLUSH] = IO_FLUSH,
        [BLOCK_OP_DISCARD] = IO_DISCARD,
        [BLOCK_OP_WRITE_ZEROES] = IO_WRITE_ZEROES,
    };

    return kinds[op->type] | (op->flags & BLOCK_REQ_FUA ? IO_FLUSH : 0);
}

static bool state_fits(const BlkdebugState *s, const Rule *rule)
{
    return !rule->state || rule->state == s->state;
}

/* The first of RULES that hits OP, or NULL. */
static const Rule *find_hit(const BlkdebugState *s, GArray *rules, const BlockOp *op, unsigned kinds)
{
    for (unsigned i = 0; i < rules->len; i++) {
        Rule *rule = &g_array_index(rules, Rule, i);
        uint64_t byte = rule->sector * BLOCK_SECTOR;

        if (rule->used_up || !(rule->kinds & kinds) || !state_fits(s, rule) ||
            (rule->has_sector && (byte < op->offset || byte - op->offset >= op->len))) {
            continue;
        }
        rule->used_up = rule->once;
        return rule;
    }
    return NULL;
}

/* BlockDelayDone: ends OP with ERROR, or passes it on. */
static void blkdebug_go(BlockOp *op, int error)
{
    if (error) {
        trace_block_blkdebug_inject(op->node->name, op->type, op->offset, error);
        block_op_complete(op, error);
    } else {
        block_node_submit(op->node->child, op);
    }
}

/* Errors and delays are decided in the state before the request, as in QEMU; then the request's events change it. */
static void blkdebug_submit(BlockNode *node, BlockOp *op)
{
    BlkdebugState *s = node->state;
    unsigned kinds = op_kinds(op);
    const Rule *failure = find_hit(s, s->errors, op, kinds);
    const Rule *delay = find_hit(s, s->delays, op, kinds);
    int error = failure ? failure->error : 0;
    uint64_t new_state = s->state;

    for (unsigned i = 0; i < s->states->len; i++) {
        const Rule *rule = &g_array_index(s->states, Rule, i);

        if ((rule->kinds & kinds) && state_fits(s, rule)) {
            new_state = rule->new_state;
        }
    }
    s->state = new_state;
    if (delay) {
        trace_block_blkdebug_delay(node->name, op->type, op->offset, delay->delay_ns);
        block_delay(op, (int64_t)delay->delay_ns, delay->cancellable, blkdebug_go, error);
    } else {
        blkdebug_go(op, error);
    }
}

/* What is in this node, and not below it, is delayed. */
static void blkdebug_cancel(BlockNode *node, BlockOp *op)
{
    block_delay_cancel(op);
}

const BlockDriver block_driver_blkdebug = {
    .name = "blkdebug",
    .state_size = sizeof(BlkdebugState),
    .child_key = "image",
    .keys = (const char *const[]) { "image", "inject-error.0.event", "inject-delay.0.event",
                                    "set-state.0.event", NULL },
    .open = blkdebug_open,
    .close = blkdebug_close,
    .submit = blkdebug_submit,
    .cancel = blkdebug_cancel,
};
