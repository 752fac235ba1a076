/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors of the control plane: building GErrors of the project's domain.
 *
 * Runs in: both.
 */
#include <string.h>

#include "util/error.h"

/* As G_DEFINE_QUARK() does, but several threads may be the first. */
GQuark mpqemu_error_quark(void)
{
    static GQuark quark;
    GQuark known = __atomic_load_n(&quark, __ATOMIC_RELAXED);

    if (known == 0) {
        known = g_quark_from_static_string("mpqemu-error-quark");
        __atomic_store_n(&quark, known, __ATOMIC_RELAXED);
    }
    return known;
}

static void G_GNUC_PRINTF(3, 0)
set_error(GError **errp, ErrorClass error_class, const char *fmt, va_list args)
{
    /* Formatting costs; a caller that passes NULL only wants the return value. */
    if (errp) {
        *errp = g_error_new_valist(MPQEMU_ERROR, error_class, fmt, args);
    }
}

const char *errno_text(int os_errno)
{
    const char *text = strerrordesc_np(os_errno);

    return text ? text : "unknown error";
}

void error_setg(GError **errp, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    set_error(errp, ERROR_CLASS_GENERIC, fmt, args);
    va_end(args);
}

void error_setg_errno(GError **errp, int os_errno, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    if (!errp) {
        return;
    }
    va_start(args, fmt);
    text = g_strdup_vprintf(fmt, args);
    va_end(args);
    error_setg(errp, "%s: %s", text, errno_text(os_errno));
}

void error_set(GError **errp, ErrorClass error_class, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    set_error(errp, error_class, fmt, args);
    va_end(args);
}
