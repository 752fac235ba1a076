/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: the client's end of the link against any server.
 * Runs in: fuzz target
 *
 * The first byte chooses the requests; the rest is what the server sends, lying ready before the first request, and
 * then the end of the stream, so that nothing waits.  Checked, besides what the sanitizers see: an exchange either
 * succeeds or closes the link, a read gives no more bits than it has, each descriptor is closed once.
 */
#include "fuzz-link.h"

#define CALLS_MAX 8

static const MpqemuMsg requests[] = {
    { .cmd = MPQEMU_CMD_PCI_CFGREAD, .conf = { .addr = 0x10, .len = 2 } },
    { .cmd = MPQEMU_CMD_DEVICE_RESET },
    { .cmd = MPQEMU_CMD_BAR_READ, .bar = { .addr = 0x1000, .size = 4, .memory = true } },
    { .cmd = MPQEMU_CMD_BAR_WRITE, .bar = { .addr = 0xc000, .val = 1, .size = 8 } },
};

static uint64_t run(const uint8_t *data, size_t size, FuzzSocketMode mode)
{
    unsigned choice = data[0];
    int fd = fuzz_socket_open(mode);
    MpqemuLink *link = mpqemu_link_new_take_fd(fd, MPQEMU_ROLE_CLIENT, "fuzz", NULL);
    uint64_t sum = 0;

    data++;
    size--;
    for (int i = 0; i < FUZZ_SENDS_MAX && fuzz_send(&data, &size); i++) {
        continue;
    }
    fuzz_socket_peer_hang_up(false);
    for (int i = 0; i < CALLS_MAX; i++) {
        const MpqemuMsg *msg = &requests[(choice + i) % G_N_ELEMENTS(requests)];
        uint64_t value = 0;
        int ret = mpqemu_link_call(link, msg, &value, INT64_C(1000000000));

        check((ret == 0) == (mpqemu_link_state(link) == MPQEMU_LINK_OPEN), "a failed exchange on an open link");
        sum = fuzz_mix(fuzz_mix(sum, (uint64_t)ret), value);
        if (ret < 0) {
            break;
        }
        check(msg->cmd != MPQEMU_CMD_PCI_CFGREAD || value <= UINT16_MAX || value == MPQEMU_RET_ERROR,
              "more bits than were read");
    }
    return fuzz_link_end(sum, link);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return size ? fuzz_link_both(run, data, size) : 0;
}
