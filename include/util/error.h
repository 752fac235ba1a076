/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors of the control plane: GError with the project's domain and QMP classes.
 *
 * Thread: any.  Runs in: both programs.
 *
 * Contract.  A function that can fail takes a last parameter `GError **errp`, returns bool (true =
 * success) or a pointer (NULL = failure), and sets *errp exactly when it fails.  The message is one
 * line, names the option or property, the value and, after "; ", the remedy.  The function that
 * detects an error does not print it; the caller at the edge (main(), a monitor) does, once.
 */
#ifndef UTIL_ERROR_H
#define UTIL_ERROR_H

#include <glib.h>

#define MPQEMU_ERROR (mpqemu_error_quark())
GQuark mpqemu_error_quark(void);

/* Error codes; they become the "class" of a QMP error answer. */
typedef enum ErrorClass {
    ERROR_CLASS_GENERIC,           /* "GenericError" */
    ERROR_CLASS_COMMAND_NOT_FOUND, /* "CommandNotFound" */
    ERROR_CLASS_DEVICE_NOT_FOUND,  /* "DeviceNotFound" */
    ERROR_CLASS_DEVICE_NOT_ACTIVE, /* "DeviceNotActive" */
} ErrorClass;

/*
 * Sets *errp (when errp is not NULL) to a generic error with a printf-style message without a final
 * newline.
 */
void error_setg(GError **errp, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* As error_setg(), followed by ": " and the text of the positive errno value OS_ERRNO. */
void error_setg_errno(GError **errp, int os_errno, const char *fmt, ...) G_GNUC_PRINTF(3, 4);

/*
 * The text of the positive errno value OS_ERRNO; static.  Unlike g_strerror() it opens no files for translations and
 * character sets, which a confined process could not.
 */
const char *errno_text(int os_errno);

/* As error_setg() with another class than generic. */
void error_set(GError **errp, ErrorClass error_class, const char *fmt, ...) G_GNUC_PRINTF(3, 4);

#endif
