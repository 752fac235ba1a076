/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: the server's end of the link against any client.
 * Runs in: fuzz target
 *
 * After each send everything is received and answered.  At the end the client hangs up.  Checked, besides what the
 * sanitizers see: what is handed out is valid, each descriptor is closed once, the number of receives is bounded.
 */
#include "fuzz-link.h"

static void check_message(const MpqemuMsg *msg)
{
    check((unsigned)msg->cmd < MPQEMU_CMD_MAX && msg->cmd != MPQEMU_CMD_RET, "command");
    check(msg->num_fds <= (msg->cmd == MPQEMU_CMD_SYNC_SYSMEM ? MPQEMU_FDS_MAX : 0) ||
          ((msg->cmd == MPQEMU_CMD_SET_IRQFD || msg->cmd == MPQEMU_CMD_SET_BOUNCE) && msg->num_fds == 2),
          "descriptors");
    check(msg->cmd != MPQEMU_CMD_SYNC_BOUNCE || msg->bounce.count <= MPQEMU_BOUNCE_RANGES_MAX, "ranges");
    for (unsigned i = 0; msg->cmd == MPQEMU_CMD_SYNC_BOUNCE && i < msg->bounce.count; i++) {
        check(msg->bounce.sizes[i] > 0, "empty range");
        check(msg->bounce.gpas[i] + (msg->bounce.sizes[i] - 1) >= msg->bounce.gpas[i], "range");
    }
    if (msg->cmd == MPQEMU_CMD_PCI_CFGREAD || msg->cmd == MPQEMU_CMD_PCI_CFGWRITE) {
        check(msg->conf.len == 1 || msg->conf.len == 2 || msg->conf.len == 4, "size");
        check(msg->conf.addr <= 4096 - msg->conf.len, "register");
    }
    if (msg->cmd == MPQEMU_CMD_BAR_READ || msg->cmd == MPQEMU_CMD_BAR_WRITE) {
        check(msg->bar.size == 1 || msg->bar.size == 2 || msg->bar.size == 4 || msg->bar.size == 8, "size");
        check(msg->bar.addr + (msg->bar.size - 1) >= msg->bar.addr, "address");
    }
    for (unsigned i = 0; i < msg->num_fds && msg->cmd == MPQEMU_CMD_SYNC_SYSMEM; i++) {
        check(msg->sync.sizes[i] > 0, "empty range");
        check(msg->sync.gpas[i] + (msg->sync.sizes[i] - 1) >= msg->sync.gpas[i], "range");
        check(msg->sync.offsets[i] + msg->sync.sizes[i] <= INT64_MAX, "offset");
    }
}

/* Everything that can be received now. */
static uint64_t receive_all(MpqemuLink *link, uint64_t sum)
{
    for (;;) {
        MpqemuMsg msg;
        bool error;
        int ret = mpqemu_link_receive(link, &msg, &error);

        sum = fuzz_mix(sum, (uint64_t)ret);
        if (ret <= 0) {
            return sum;
        }
        if (!error) {
            check_message(&msg);
        }
        sum = fuzz_mix(sum, (uint64_t)msg.cmd << 8 | msg.num_fds << 1 | error);
        mpqemu_msg_clear(&msg);
        if (msg.cmd != MPQEMU_CMD_SYNC_SYSMEM && msg.cmd != MPQEMU_CMD_SET_IRQFD && msg.cmd != MPQEMU_CMD_SYNC_BOUNCE) {
            mpqemu_link_reply(link, msg.cmd, error ? MPQEMU_RET_ERROR : 0);
        }
    }
}

static uint64_t run(const uint8_t *data, size_t size, FuzzSocketMode mode)
{
    int fd = fuzz_socket_open(mode);
    MpqemuLink *link = mpqemu_link_new_take_fd(fd, MPQEMU_ROLE_SERVER, "fuzz", NULL);
    uint64_t sum = 0;

    for (int i = 0; i < FUZZ_SENDS_MAX && mpqemu_link_state(link) == MPQEMU_LINK_OPEN && fuzz_send(&data, &size); i++) {
        /* Even and odd sends are glued. */
        if (i % 2) {
            sum = receive_all(link, sum);
        }
    }
    fuzz_socket_peer_hang_up(true);
    for (int i = 0; mpqemu_link_state(link) == MPQEMU_LINK_OPEN; i++) {
        check(i < 2 * FUZZ_SENDS_MAX, "receiving does not end");
        sum = receive_all(link, sum);
    }
    return fuzz_link_end(sum, link);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_link_both(run, data, size);
}
