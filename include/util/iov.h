/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scatter-gather lists: small helpers on arrays of struct iovec.
 *
 * Thread: any.  Runs in: both programs.
 */
#ifndef UTIL_IOV_H
#define UTIL_IOV_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

/* Sum of the lengths. */
size_t iov_size(const struct iovec *iov, unsigned count);

/* Copies up to LEN bytes between BUF and the list from byte OFFSET on; returns the bytes copied. */
size_t iov_from_buf(const struct iovec *iov, unsigned count, size_t offset, const void *buf,
                    size_t len);
size_t iov_to_buf(const struct iovec *iov, unsigned count, size_t offset, void *buf, size_t len);

/* Fills up to LEN bytes from byte OFFSET on; returns the bytes set. */
size_t iov_memset(const struct iovec *iov, unsigned count, size_t offset, int value, size_t len);

/*
 * Writes the part [offset, offset + len) of SRC to DST (at most DST_MAX entries); returns the
 * entries used, or -1 when they do not suffice or the range is longer than SRC.
 */
int iov_slice(struct iovec *dst, unsigned dst_max, const struct iovec *src, unsigned count,
              size_t offset, size_t len);

/* True when every address and length is a multiple of ALIGN (a power of two). */
bool iov_is_aligned(const struct iovec *iov, unsigned count, size_t align);

#endif
