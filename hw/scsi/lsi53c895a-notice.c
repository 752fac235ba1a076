/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lsi53c895a: how a driver learns that its controller was replaced by another one.
 *
 * Runs in: both.
 *
 * Theory of operation.  When a device process dies, all that the chip knew is lost, and commands under way with it.
 * The guest's driver is not told; it finds out when its commands time out, after 30 seconds and more.  There is a word
 * for what has happened that every driver must understand, since any device on the cable can say it at any time: the
 * SCSI bus was reset (SIST0.RST, "SCSI reset received").  Commands are gone, agreements are void; the driver starts
 * anew.
 *
 * So the controller of a new process may be made with bus-reset-pending=on.  It then comes up with SIST0.RST set and
 * with the one part of the lost chip's state that is known, SIEN0.RST, which makes it an interrupt.  Linux's and the
 * BSDs' drivers reset the chip then and load everything anew.  One that trusts registers and SCRIPTS RAM over a bus
 * reset is where it was without this: its commands time out.
 *
 * A reset of the machine takes it back, since the guest has no such driver then.  It comes by the same message as the
 * one that is part of each attachment, and is told from it by its number: those of the start of this process come
 * before anybody has written to config space, and do not count; the first one behind that is the attachment's.
 *
 * Nobody else may see it.  An interrupt that no driver takes blocks its line for all devices on it, so the property is
 * for whoever knows that the driver had SIEN0.RST set and could interrupt.  It is told by SCSI_BUS_RESET_WATCH: polling
 * firmware never sets it, a driver that goes away resets the chip, as does a reset of the machine.  And it is told when
 * the guest's command register lets the device master the bus, which is when it is put back in its place; before, there
 * is no driver.
 *
 * Units with removable media then do not tell of the reset, too: an initiator that does not connect the two (Linux's
 * middle layer is not told by this driver) takes it for a change of medium and gives up the read that meets it.
 *
 * A guest can write SIEN0 as often as it likes, and shall not flood a monitor: a change is told when it has lasted for
 * WATCH_NS, and the next one not before WATCH_PAUSE_NS have passed, as with QEMU's events that a guest causes; the last
 * state counts.  A driver that resets the chip and sets it up again causes no event at all.
 */
#include "hw/scsi/lsi53c895a-int.h"

#include "qapi/qapi.h"
#include "trace/hw-scsi.h"

#define WATCH_NS (50LL * 1000 * 1000)
#define WATCH_PAUSE_NS (1000LL * 1000 * 1000)

/* A bus reset would interrupt; as long as it is pending, what the lost chip's driver wanted holds. */
static bool is_watching(const LsiState *s)
{
    return s->bus_reset_pending ||
           ((s->reg[LSI_SIEN0] & SIST0_RST) && !(s->reg[LSI_DCNTL] & DCNTL_IRQD) &&
            !(s->reg[LSI_ISTAT1] & ISTAT1_SI));
}

static void tell_watch(void *opaque)
{
    LsiState *s = opaque;
    JsonObject *data = json_object_new();

    s->watch_changed = false;
    s->watch_told = !s->watch_told;
    s->watch_told_at = event_clock_ns(EVENT_CLOCK_REAL);
    if (s->pci.dev.id) {
        json_object_set_string_member(data, "device", s->pci.dev.id);
    }
    json_object_set_boolean_member(data, "enabled", s->watch_told);
    qapi_event_emit("SCSI_BUS_RESET_WATCH", data);
}

void lsi_notice_init(LsiState *s)
{
    s->watch_timer = event_timer_new(event_loop_main(), EVENT_CLOCK_REAL, tell_watch, s);
    s->watch_told = s->bus_reset_pending;
    s->watch_told_at = -WATCH_PAUSE_NS;
}

void lsi_notice_clear(LsiState *s)
{
    event_timer_free(s->watch_timer);
}

void lsi_notice_update(LsiState *s)
{
    bool changed = is_watching(s) != s->watch_told;

    if (changed == s->watch_changed) {
        return;
    }
    s->watch_changed = changed;
    if (changed) {
        event_timer_arm(s->watch_timer,
                        MAX(event_clock_ns(EVENT_CLOCK_REAL) + WATCH_NS, s->watch_told_at + WATCH_PAUSE_NS));
    } else {
        event_timer_disarm(s->watch_timer);
    }
}

void lsi_notice_reset(LsiState *s)
{
    if (s->bus_reset_pending && s->config_written && s->resets_pending++ > 0) {
        s->bus_reset_pending = false;
    }
}

void lsi_notice_config_written(LsiState *s)
{
    s->config_written = true;
    if (!s->bus_reset_pending || !(pci_get_word(s->pci.config + PCI_COMMAND) & PCI_COMMAND_MASTER)) {
        return;
    }
    trace_lsi_notice(s);
    s->reg[LSI_SIEN0] |= SIST0_RST;
    s->bus_reset_pending = false;
    scsi_bus_forget_resets(s->bus);
    lsi_raise_scsi(s, SIST0_RST, 0);
}
