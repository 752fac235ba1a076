/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci-proxy-dev: the end of a device's work on guest RAM, before it is removed.
 *
 * Runs in: mpqemu; main loop, machine lock.
 *
 * A device that is pulled out while it works would still write what it reads to the guest's memory, which the guest
 * takes for free as soon as it knows that the device is gone.  A remote answers a reset when its transfers have ended;
 * nothing new begins behind it, since the guest's accesses do not come through any more.
 *
 * Before that no more interrupts are heard, and the guest has time to end the one that it is in: a driver that looks for
 * the reason of an interrupt in a device that reads all ones may look for ever (Linux's sym53c8xx).  Where the interrupt
 * controllers are KVM's its end is not known here, and there is a pause instead.
 *
 *   retired   retiring
 *   no        no         works
 *   yes       no         no interrupts: until the end of the last one, or for GRACE_MS or PAUSE_MS (retire_limit)
 *   yes       yes        no accesses: until the reset is answered, or the device is dead (retire_limit)
 *   no        yes        at rest, or dead; to be unplugged
 *
 * The limits of the reset are those of a reset of the machine (pending.c).
 */
#include "hw/proxy/proxy-int.h"
#include "trace/hw-proxy.h"

#define GRACE_MS 1000
#define PAUSE_MS 100

static void arm_limit(PciProxyDev *proxy, uint64_t ms)
{
    event_timer_arm(proxy->retire_limit, event_clock_ns(EVENT_CLOCK_REAL) + (int64_t)ms * 1000000);
}

static void end_accesses(PciProxyDev *proxy)
{
    __atomic_store_n(&proxy->retiring, true, __ATOMIC_RELEASE); /* first: all later is behind the reset */
    proxy_irq_update(proxy);
    proxy->retire_ticket = proxy_post_reset(proxy);
    arm_limit(proxy, UINT64_C(2) * proxy->timeout_ms);
    proxy_kick(proxy); /* a dead one has nothing to say */
}

static void limit_passed(void *opaque)
{
    PciProxyDev *proxy = opaque;
    bool answered;

    if (!proxy->retired) {
        return;
    }
    if (!proxy_is_retiring(proxy)) {
        end_accesses(proxy);
    } else if (!proxy_reset_is_over(proxy, proxy->retire_ticket, &answered)) {
        proxy_give_up(proxy, "it has not answered the reset before its removal in time");
    }
}

static void tell(PciProxyDev *proxy, bool answered)
{
    PciProxyRetired *retired = g_steal_pointer(&proxy->retired);

    event_timer_disarm(proxy->retire_limit);
    trace_proxy_retired(proxy->name, answered);
    retired(proxy, answered, proxy->retired_opaque);
}

void pci_proxy_retire(PciProxyDev *proxy, PciProxyRetired *done, void *opaque)
{
    if (proxy->retire_limit == NULL) {
        proxy->retire_limit = event_timer_new(event_loop_main(), EVENT_CLOCK_REAL, limit_passed, proxy);
    }
    proxy->retired = done;
    proxy->retired_opaque = opaque;
    if (!proxy_irq_may_be_handled(proxy)) {
        end_accesses(proxy);
        return;
    }
    arm_limit(proxy, proxy->irq_raised ? GRACE_MS : PAUSE_MS);
    proxy_irq_update(proxy);
}

void proxy_retire_update(PciProxyDev *proxy)
{
    bool answered;

    if (!proxy->retired) {
        return;
    }
    if (!proxy_is_retiring(proxy)) {
        if (!proxy_irq_may_be_handled(proxy)) {
            end_accesses(proxy);
        }
    } else if (proxy_reset_is_over(proxy, proxy->retire_ticket, &answered)) {
        tell(proxy, answered);
    }
}

void proxy_retire_end(PciProxyDev *proxy)
{
    if (proxy->retired) {
        tell(proxy, false);
    }
    event_timer_free(proxy->retire_limit);
    proxy->retire_limit = NULL;
}

static void unplug(PciProxyDev *proxy, bool answered, void *opaque)
{
    device_unplugged(DEVICE(proxy)); /* nothing when that is why we are called */
}

bool proxy_retire(Device *dev)
{
    pci_proxy_retire(PCI_PROXY_DEV(dev), unplug, NULL);
    return true;
}
