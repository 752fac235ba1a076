/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: the client's end of the link against any server.
 * Runs in: fuzz target
 *
 * The first byte chooses the requests; the rest is what the server sends, lying ready before the first request, and
 * then the end of the stream, so that nothing waits.  Checked, besides what the sanitizers see: an exchange either
 * succeeds or closes the link, a read gives no more bits than it has, no descriptor is left open.
 */
#include "fuzz-link.h"

#define CALLS_MAX 8

static const MpqemuMsg requests[] = {
    { .cmd = MPQEMU_CMD_PCI_CFGREAD, .conf = { .addr = 0x10, .len = 2 } },
    { .cmd = MPQEMU_CMD_DEVICE_RESET },
    { .cmd = MPQEMU_CMD_BAR_READ, .bar = { .addr = 0x1000, .size = 4, .memory = true } },
    { .cmd = MPQEMU_CMD_BAR_WRITE, .bar = { .addr = 0xc000, .val = 1, .size = 8 } },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int before, raw;
    unsigned choice;
    MpqemuLink *link;

    if (size == 0) {
        return 0;
    }
    choice = *data++;
    size--;
    fuzz_fds();
    before = fuzz_lowest_fd();
    link = fuzz_link(MPQEMU_ROLE_CLIENT, &raw);
    for (int i = 0; i < FUZZ_SENDS_MAX && fuzz_send(raw, &data, &size); i++) {
        continue;
    }
    shutdown(raw, SHUT_WR);
    for (int i = 0; i < CALLS_MAX; i++) {
        const MpqemuMsg *msg = &requests[(choice + i) % G_N_ELEMENTS(requests)];
        uint64_t value;
        int ret = mpqemu_link_call(link, msg, &value, INT64_C(1000000000));

        if ((ret == 0) != (mpqemu_link_state(link) == MPQEMU_LINK_OPEN)) {
            abort();
        }
        if (ret < 0) {
            break;
        }
        if (msg->cmd == MPQEMU_CMD_PCI_CFGREAD && value > UINT16_MAX && value != MPQEMU_RET_ERROR) {
            abort();
        }
    }
    mpqemu_link_free(link);
    close(raw);
    if (fuzz_lowest_fd() != before) {
        abort();
    }
    return 0;
}
