/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scatter-gather lists: small helpers on arrays of struct iovec.
 *
 * Thread: any.  Runs in: both programs.
 */
#ifndef UTIL_IOV_H
#define UTIL_IOV_H

#include <stddef.h>
#include <sys/uio.h>

/* Copies up to LEN bytes between BUF and the list from byte OFFSET on; returns the bytes copied. */
size_t iov_from_buf(const struct iovec *iov, unsigned count, size_t offset, const void *buf,
                    size_t len);
size_t iov_to_buf(const struct iovec *iov, unsigned count, size_t offset, void *buf, size_t len);

/* Fills up to LEN bytes from byte OFFSET on; returns the bytes set. */
size_t iov_memset(const struct iovec *iov, unsigned count, size_t offset, int value, size_t len);

#endif
