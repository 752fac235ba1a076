/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qtest: the commands.
 *
 * Runs in: mpqemu; in the qtest thread, without the machine lock unless a function takes it.
 *
 * One table.  A handler finds its words checked for number, the first one (the command) included,
 * and fills q->reply by qtest_ok() or qtest_fail().
 */
#include <inttypes.h>
#include <string.h>

#include "hw/intc/irq-pins.h"
#include "qtest-int.h"
#include "system/memory.h"
#include "util/machine-lock.h"
#include "util/options.h"

#define WORDS_MAX 5

typedef struct QtestCommand {
    const char *name;
    unsigned min_words, max_words; /* the command's name included */
    unsigned size;                 /* bytes of an access; 0: not a fixed one */
    void (*handler)(Qtest *q, const struct QtestCommand *cmd, char **words, unsigned count);
} QtestCommand;

static void G_GNUC_PRINTF(2, 3) qtest_ok(Qtest *q, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_string_assign(q->reply, "OK ");
    g_string_append_vprintf(q->reply, fmt, ap);
    va_end(ap);
}

/* Done; there is no value to tell. */
static void qtest_done(Qtest *q)
{
    g_string_assign(q->reply, "OK");
}

static void G_GNUC_PRINTF(2, 3) qtest_fail(Qtest *q, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_string_assign(q->reply, "FAIL ");
    g_string_append_vprintf(q->reply, fmt, ap);
    va_end(ap);
}

/* A number up to MAX; false: q->reply says what is wrong. */
static bool get_number(Qtest *q, const char *word, uint64_t max, uint64_t *ret)
{
    if (!parse_uint64(word, ret) || *ret > max) {
        qtest_fail(q, "'%.40s' is not a number from 0 to 0x%" PRIx64, word, max);
        return false;
    }
    return true;
}

/* ADDR and SIZE of a command on a piece of memory. */
static bool get_range(Qtest *q, char **words, uint64_t *ret_addr, uint64_t *ret_size)
{
    if (!get_number(q, words[1], UINT64_MAX, ret_addr) ||
        !get_number(q, words[2], QTEST_DATA_MAX, ret_size)) {
        return false;
    }
    if (*ret_size && *ret_addr > UINT64_MAX - (*ret_size - 1)) {
        qtest_fail(q, "the range wraps");
        return false;
    }
    return true;
}

/* ---- single accesses ------------------------------------------------------------------------- */

static void cmd_in(Qtest *q, const QtestCommand *cmd, char **words, unsigned count)
{
    uint64_t port, value;

    if (get_number(q, words[1], 0xffff, &port)) {
        address_space_read(system_io(), port, &value, cmd->size);
        qtest_ok(q, "0x%04" PRIx64, value);
    }
}

static void cmd_out(Qtest *q, const QtestCommand *cmd, char **words, unsigned count)
{
    uint64_t port, value;

    if (get_number(q, words[1], 0xffff, &port) && get_number(q, words[2], UINT64_MAX, &value)) {
        address_space_write(system_io(), port, value, cmd->size);
        qtest_done(q);
    }
}

static void cmd_read_one(Qtest *q, const QtestCommand *cmd, char **words, unsigned count)
{
    uint64_t addr, value;

    if (get_number(q, words[1], UINT64_MAX, &addr)) {
        address_space_read(system_memory(), addr, &value, cmd->size);
        qtest_ok(q, "0x%016" PRIx64, value);
    }
}

static void cmd_write_one(Qtest *q, const QtestCommand *cmd, char **words, unsigned count)
{
    uint64_t addr, value;

    if (get_number(q, words[1], UINT64_MAX, &addr) &&
        get_number(q, words[2], UINT64_MAX, &value)) {
        address_space_write(system_memory(), addr, value, cmd->size);
        qtest_done(q);
    }
}

/* ---- pieces of memory ------------------------------------------------------------------------ */

static void append_hex(GString *text, const uint8_t *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    size_t at = text->len;

    g_string_set_size(text, at + 2 * len);
    for (size_t i = 0; i < len; i++) {
        text->str[at + 2 * i] = digits[data[i] >> 4];
        text->str[at + 2 * i + 1] = digits[data[i] & 0xf];
    }
}

/* Reads the range of WORDS; NULL: q->reply says what is wrong.  The result is to be freed. */
static uint8_t *read_range(Qtest *q, char **words, uint64_t *ret_size)
{
    uint64_t addr;
    uint8_t *data;

    if (!get_range(q, words, &addr, ret_size)) {
        return NULL;
    }
    if (*ret_size == 0) {
        qtest_fail(q, "size 0: there is nothing to read");
        return NULL;
    }
    data = g_malloc(*ret_size);
    address_space_copy_from(system_memory(), addr, data, *ret_size, false);
    return data;
}

static void cmd_read(Qtest *q, const QtestCommand *cmd, char **words, unsigned count)
{
    uint64_t size;
    g_autofree uint8_t *data = read_range(q, words, &size);

    if (data) {
        qtest_ok(q, "0x");
        append_hex(q->reply, data, size);
    }
}

static void cmd_b64read(Qtest *q, const QtestCommand *cmd, char **words, unsigned count)
{
    uint64_t size;
    g_autofree uint8_t *data = read_range(q, words, &size);

    if (data) {
        g_autofree char *text = g_base64_encode(data, size);

        qtest_ok(q, "%s", text);
    }
}

static void cmd_write(Qtest *q, const QtestCommand *cmd, char **words, unsigned count)
{
    const char *hex = words[3];
    size_t digits = strlen(hex);
    uint64_t addr, size;
    g_autofree uint8_t *data = NULL;

    if (!get_range(q, words, &addr, &size)) {
        return;
    }
    if (digits < 2 || hex[0] != '0' || hex[1] != 'x') {
        qtest_fail(q, "the data must be 0x and hex digits");
        return;
    }
    hex += 2;
    digits -= 2;
    data = g_malloc0(size + 1);
    for (size_t i = 0; i < digits; i++) {
        int value = g_ascii_xdigit_value(hex[i]);

        if (value < 0) {
            qtest_fail(q, "the data must be 0x and hex digits");
            return;
        }
        if (i / 2 < size) {
            data[i / 2] |= i & 1 ? value : value << 4;
        }
    }
    address_space_copy_to(system_memory(), addr, data, size, false);
    qtest_done(q);
}

static void cmd_b64write(Qtest *q, const QtestCommand *cmd, char **words, unsigned count)
{
    uint64_t addr, size;
    gsize len = 0;
    g_autofree uint8_t *data = NULL;

    if (get_range(q, words, &addr, &size)) {
        data = g_base64_decode(words[3], &len);
        /* Sizes that differ: the shorter one counts. */
        address_space_copy_to(system_memory(), addr, data, MIN(len, size), false);
        qtest_done(q);
    }
}

static void cmd_memset(Qtest *q, const QtestCommand *cmd, char **words, unsigned count)
{
    uint64_t addr, size, value;
    g_autofree uint8_t *data = NULL;

    if (get_range(q, words, &addr, &size) && get_number(q, words[3], UINT64_MAX, &value)) {
        data = g_malloc(size + 1);
        memset(data, (int)value, size);
        address_space_copy_to(system_memory(), addr, data, size, false);
        qtest_done(q);
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

static void cmd_clock_step(Qtest *q, const QtestCommand *cmd, char **words, unsigned count)
{
    uint64_t ns;

    if (count == 1) {
        qtest_ok(q, "%" PRId64, qtest_step_clock(q, -1));
    } else if (get_number(q, words[1], INT64_MAX / 2, &ns)) {
        qtest_ok(q, "%" PRId64, qtest_step_clock(q, ns));
    }
}

static void cmd_clock_set(Qtest *q, const QtestCommand *cmd, char **words, unsigned count)
{
    int64_t now = event_clock_ns(EVENT_CLOCK_VIRTUAL);
    uint64_t ns;

    if (get_number(q, words[1], INT64_MAX / 2, &ns)) {
        qtest_ok(q, "%" PRId64, qtest_step_clock(q, MAX((int64_t)ns - now, 0)));
    }
}

/* ---- interrupts ------------------------------------------------------------------------------ */

/* Machine lock; every level of a watched pin. */
static void pin_changed(void *opaque, int pin, int level)
{
    Qtest *q = opaque;
    uint64_t bit = UINT64_C(1) << pin;
    char line[32];

    if (!(q->pin_levels & bit) == !level) {
        return;
    }
    q->pin_levels ^= bit;
    g_snprintf(line, sizeof(line), "IRQ %s %d\n", level ? "raise" : "lower", pin);
    qtest_send_event(q, line);
}

/* The input pins of the object at PATH.  Machine lock.  NULL: q->reply says what is wrong. */
static IrqLine **find_pins(Qtest *q, const char *path, unsigned *ret_count)
{
    QomObject *obj = qom_resolve(path);
    IrqLine **pins;

    if (!obj) {
        qtest_fail(q, "there is no object '%.80s'", path);
        return NULL;
    }
    pins = irq_pins_inputs(obj, ret_count);
    if (!pins) {
        qtest_fail(q, "'%.80s' has no input pins", path);
    }
    return pins;
}

static void cmd_irq_intercept_in(Qtest *q, const QtestCommand *cmd, char **words, unsigned count)
{
    unsigned pin_count;
    IrqLine **pins;

    machine_lock();
    pins = find_pins(q, words[1], &pin_count);
    if (pins && q->pins && q->pins != pins) {
        qtest_fail(q, "the pins of another object are watched already");
    } else if (pins) {
        q->pins = pins;
        q->pin_count = MIN(pin_count, QTEST_PINS_MAX);
        for (unsigned i = 0; i < q->pin_count; i++) {
            irq_intercept(pins[i], pin_changed, q, (int)i, true);
        }
        qtest_done(q);
    }
    machine_unlock();
}

static void cmd_irq_intercept_out(Qtest *q, const QtestCommand *cmd, char **words, unsigned count)
{
    qtest_fail(q, "'%.80s' has no output pins", words[1]);
}

static void cmd_set_irq_in(Qtest *q, const QtestCommand *cmd, char **words, unsigned count)
{
    unsigned pin_count;
    uint64_t pin, level;
    IrqLine **pins;

    if (!get_number(q, words[3], INT32_MAX, &pin) || !get_number(q, words[4], INT32_MAX, &level)) {
        return;
    }
    if (!g_str_equal(words[2], "unnamed-gpio-in")) {
        qtest_fail(q, "'%.80s' is no kind of pin; there is only unnamed-gpio-in", words[2]);
        return;
    }
    machine_lock();
    pins = find_pins(q, words[1], &pin_count);
    if (pins && pin >= pin_count) {
        qtest_fail(q, "'%.80s' has pins 0 to %u", words[1], pin_count - 1);
    } else if (pins) {
        irq_set(pins[pin], (int)level);
        qtest_done(q);
    }
    machine_unlock();
}

/* ---- the table ------------------------------------------------------------------------------- */

static void cmd_endianness(Qtest *q, const QtestCommand *cmd, char **words, unsigned count)
{
    qtest_ok(q, "little");
}

/* Searched from the top: accesses first. */
static const QtestCommand commands[] = {
    { "readl", 2, 2, 4, cmd_read_one },
    { "writel", 3, 3, 4, cmd_write_one },
    { "inl", 2, 2, 4, cmd_in },
    { "outl", 3, 3, 4, cmd_out },
    { "readb", 2, 2, 1, cmd_read_one },
    { "readw", 2, 2, 2, cmd_read_one },
    { "readq", 2, 2, 8, cmd_read_one },
    { "writeb", 3, 3, 1, cmd_write_one },
    { "writew", 3, 3, 2, cmd_write_one },
    { "writeq", 3, 3, 8, cmd_write_one },
    { "inb", 2, 2, 1, cmd_in },
    { "inw", 2, 2, 2, cmd_in },
    { "outb", 3, 3, 1, cmd_out },
    { "outw", 3, 3, 2, cmd_out },
    { "read", 3, 3, 0, cmd_read },
    { "write", 4, 4, 0, cmd_write },
    { "b64read", 3, 3, 0, cmd_b64read },
    { "b64write", 4, 4, 0, cmd_b64write },
    { "memset", 4, 4, 0, cmd_memset },
    { "clock_step", 1, 2, 0, cmd_clock_step },
    { "clock_set", 2, 2, 0, cmd_clock_set },
    { "irq_intercept_in", 2, 2, 0, cmd_irq_intercept_in },
    { "irq_intercept_out", 2, 2, 0, cmd_irq_intercept_out },
    { "set_irq_in", 5, 5, 0, cmd_set_irq_in },
    { "endianness", 1, 1, 0, cmd_endianness },
};

/* Parts LINE at spaces in place; returns the number of words, WORDS_MAX + 1 when there are more. */
static unsigned split_words(char *line, char **ret_words)
{
    unsigned count = 0;

    for (;;) {
        line += strspn(line, " \t\r");
        if (!*line) {
            return count;
        }
        if (count == WORDS_MAX) {
            return WORDS_MAX + 1;
        }
        ret_words[count++] = line;
        line += strcspn(line, " \t\r");
        if (*line) {
            *line++ = '\0';
        }
    }
}

void qtest_command(Qtest *q, char *line)
{
    char *words[WORDS_MAX];
    unsigned count = split_words(line, words);

    g_string_assign(q->reply, "");
    if (count == 0) {
        qtest_fail(q, "an empty line");
    } else {
        const QtestCommand *cmd = NULL;

        for (unsigned i = 0; i < G_N_ELEMENTS(commands) && !cmd; i++) {
            cmd = strcmp(commands[i].name, words[0]) == 0 ? &commands[i] : NULL;
        }
        if (!cmd) {
            qtest_fail(q, "Unknown command '%.40s'", words[0]);
        } else if (count < cmd->min_words || count > cmd->max_words) {
            qtest_fail(q, "%s takes %u to %u arguments", cmd->name, cmd->min_words - 1,
                       cmd->max_words - 1);
        } else {
            cmd->handler(q, cmd, words, count);
        }
    }
    g_string_append_c(q->reply, '\n');
}
