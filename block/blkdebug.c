/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver "blkdebug": errors on demand, with QEMU's options.
 *
 * Runs in: both.
 *
 * Rules: "inject-error.N.event=read_aio|..." with errno, sector, iotype, once, state, immediately; and
 * "set-state.N.event=..." with state, new_state.  A request has events by its kind; an error rule hits a request that
 * has the rule's event while the state fits, if iotype and sector fit too.  After that the state rules of its events
 * apply.  States are numbers, the first is 1; state=0 in a rule means any.
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

typedef struct Rule {
    unsigned kinds;     /* requests that have its event, less those that iotype leaves out */
    uint64_t state;     /* 0: any */
    bool has_sector;
    uint64_t sector;
    bool once;
    int error;          /* error rules: -errno; 0: used up */
    uint64_t new_state; /* state rules */
} Rule;

typedef struct BlkdebugState {
    uint64_t state;
    GArray *errors; /* of Rule */
    GArray *states; /* of Rule */
} BlkdebugState;

/* What both kinds of rules have. */
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

static bool read_error_rule(Rule *rule, Options *opts, GError **errp)
{
    static const char *const keys[] = {
        "event", "state", "iotype", "errno", "sector", "once", "immediately", NULL,
    };
    uint64_t error = EIO;
    int iotype = -1;
    bool immediately; /* QEMU: without a turn of the event loop in between; no completion of ours is like that */

    rule->has_sector = options_has(opts, "sector") && g_strcmp0(options_get(opts, "sector"), "-1");
    if (!read_event(rule, opts, errp) ||
        !options_get_enum(opts, "iotype", iotype_names, &iotype, errp) ||
        !options_get_uint(opts, "errno", 4095, &error, errp) ||
        (rule->has_sector && !options_get_uint(opts, "sector", INT64_MAX / BLOCK_SECTOR, &rule->sector, errp)) ||
        !options_get_bool(opts, "once", &rule->once, errp) ||
        !options_get_bool(opts, "immediately", &immediately, errp)) {
        return false;
    }
    if (!error) {
        error_setg(errp, "%s: blkdebug: errno=0 is no error; use a positive errno value (5 is EIO)",
                   options_name(opts));
        return false;
    }
    rule->kinds &= iotype < 0 ? IO_ALL : 1u << iotype;
    rule->error = -(int)error;
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

static bool blkdebug_open(BlockNode *node, Options *opts, GError **errp)
{
    BlkdebugState *s = node->state;

    s->state = 1;
    s->errors = read_rules("inject-error", read_error_rule, opts, errp);
    if (!s->errors) {
        return false;
    }
    s->states = read_rules("set-state", read_state_rule, opts, errp);
    if (!s->states) {
        g_array_unref(s->errors);
        return false;
    }
    return true;
}

static void blkdebug_close(BlockNode *node)
{
    BlkdebugState *s = node->state;

    g_array_unref(s->errors);
    g_array_unref(s->states);
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

/* The error for OP, or 0. */
static int find_error(BlkdebugState *s, const BlockOp *op, unsigned kinds)
{
    for (unsigned i = 0; i < s->errors->len; i++) {
        Rule *rule = &g_array_index(s->errors, Rule, i);
        uint64_t byte = rule->sector * BLOCK_SECTOR;
        int error = rule->error;

        if (!error || !(rule->kinds & kinds) || !state_fits(s, rule) ||
            (rule->has_sector && (byte < op->offset || byte - op->offset >= op->len))) {
            continue;
        }
        if (rule->once) {
            rule->error = 0;
        }
        return error;
    }
    return 0;
}

/* Errors are decided in the state before the request, as in QEMU; then the request's events change it. */
static void blkdebug_submit(BlockNode *node, BlockOp *op)
{
    BlkdebugState *s = node->state;
    unsigned kinds = op_kinds(op);
    int error = find_error(s, op, kinds);
    uint64_t new_state = s->state;

    for (unsigned i = 0; i < s->states->len; i++) {
        const Rule *rule = &g_array_index(s->states, Rule, i);

        if ((rule->kinds & kinds) && state_fits(s, rule)) {
            new_state = rule->new_state;
        }
    }
    s->state = new_state;
    if (error) {
        trace_block_blkdebug_inject(node->name, op->type, op->offset, error);
        block_op_complete(op, error);
    } else {
        block_node_submit(node->child, op);
    }
}

const BlockDriver block_driver_blkdebug = {
    .name = "blkdebug",
    .state_size = sizeof(BlkdebugState),
    .child_key = "image",
    .keys = (const char *const[]) { "image", "inject-error.0.event", "set-state.0.event", NULL },
    .open = blkdebug_open,
    .close = blkdebug_close,
    .submit = blkdebug_submit,
};
