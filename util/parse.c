/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Value parsers of options and properties: switches, numbers, sizes, ids.
 *
 * Runs in: both.
 *
 * All are strict: no leading space, no sign where none belongs, nothing after the value.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "util/options.h"

#define ID_MAX_BYTES 127 /* keeps object paths and messages short */

bool parse_bool(const char *text, bool *ret)
{
    static const char *const on[] = { "on", "yes", "true", "y", NULL };
    static const char *const off[] = { "off", "no", "false", "n", NULL };

    if (g_strv_contains(on, text)) {
        *ret = true;
    } else if (g_strv_contains(off, text)) {
        *ret = false;
    } else {
        return false;
    }
    return true;
}

/*
 * The leading digits of TEXT in BASE (0: by its prefix); *ret_end gets the first byte after them.
 */
static bool parse_digits(const char *text, int base, uint64_t *ret, const char **ret_end)
{
    char *end;
    unsigned long long value;

    /* strtoull() itself would accept spaces and signs. */
    if (!g_ascii_isdigit(text[0])) {
        return false;
    }
    errno = 0;
    value = strtoull(text, &end, base);
    if (errno) {
        return false;
    }
    *ret = value;
    *ret_end = end;
    return true;
}

bool parse_uint64(const char *text, uint64_t *ret)
{
    const char *end;
    uint64_t value;

    if (!parse_digits(text, 0, &value, &end) || *end) {
        return false;
    }
    *ret = value;
    return true;
}

bool parse_int64(const char *text, int64_t *ret)
{
    bool negative = text[0] == '-';
    uint64_t magnitude;

    if (!parse_uint64(text + negative, &magnitude) ||
        magnitude > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *ret = (int64_t)(negative ? -magnitude : magnitude);
    return true;
}

/* The unit of suffix letter C in bytes, or 0. */
static uint64_t size_unit(char c)
{
    static const char suffixes[] = "BKMGTPE";
    const char *found = c ? strchr(suffixes, g_ascii_toupper(c)) : NULL;

    return found ? 1ULL << (10 * (found - suffixes)) : 0;
}

/*
 * The part of a size after the point, in bytes, rounded down.  Digits beyond the eighteenth change
 * less than a byte even of an exabyte, so they are only checked.
 */
static uint64_t size_fraction(const char **text, uint64_t unit)
{
    uint64_t digits = 0, scale = 1;

    for (; g_ascii_isdigit(**text); (*text)++) {
        if (scale < 1000000000000000000ULL) {
            digits = digits * 10 + (uint64_t)(**text - '0');
            scale *= 10;
        }
    }
    return (uint64_t)((unsigned __int128)digits * unit / scale);
}

bool parse_size(const char *text, char default_suffix, uint64_t *ret)
{
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *end, *fraction = NULL;
    uint64_t whole, unit, bytes;

    if (!parse_digits(text, hex ? 16 : 10, &whole, &end)) {
        return false;
    }
    if (*end == '.' && !hex) {
        fraction = ++end;
        end += strspn(end, "0123456789");
        if (end == fraction) {
            return false;
        }
    }
    unit = size_unit(*end ? *end : default_suffix);
    if (unit == 0 || (*end && end[1])) {
        return false;
    }
    if (__builtin_mul_overflow(whole, unit, &bytes)) {
        return false;
    }
    if (fraction) {
        /* There is no half a byte. */
        if (unit == 1 ||
            __builtin_add_overflow(bytes, size_fraction(&fraction, unit), &bytes)) {
            return false;
        }
    }
    *ret = bytes;
    return true;
}

bool id_wellformed(const char *id)
{
    size_t len;

    if (!g_ascii_isalpha(id[0])) {
        return false;
    }
    for (len = 1; id[len]; len++) {
        if (len >= ID_MAX_BYTES || (!g_ascii_isalnum(id[len]) && !strchr("-._", id[len]))) {
            return false;
        }
    }
    return true;
}
