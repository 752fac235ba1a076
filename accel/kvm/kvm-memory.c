/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM's slots of guest memory: one for each range of RAM or ROM in the flat view of system memory.
 *
 * Runs in: mpqemu.
 *
 * A range that stays where it is keeps its slot.  The others are taken away before new ones are made, since slots must
 * not overlap; meanwhile no vCPU runs, or one could find nothing where there is memory before and after.  A range
 * that is not made of whole host pages has no slot: its accesses come to us, and are carried out by the memory
 * dispatch.  So are writes to ROM.
 *
 * While a block is logged (system/dirty-log.h) its slots have KVM_MEM_LOG_DIRTY_PAGES, and the kernel's bitmaps are
 * collected when somebody asks, and before a slot goes.
 */
#include <errno.h>
#include <unistd.h>

#include "accel/kvm/kvm-int.h"
#include "system/dirty-log.h"
#include "system/memory.h"
#include "util/error.h"
#include "util/log.h"

/* KVM has 509 at least; a view has some ten. */
#define SLOTS_MAX 256

typedef struct KvmSlot {
    uint64_t addr;
    uint64_t size; /* 0: free */
    RamBlock *ram; /* a reference */
    uint64_t ram_offset;
    bool readonly;
    bool logged;
} KvmSlot;

static KvmSlot slots[SLOTS_MAX]; /* machine lock */
static int slot_error;           /* errno of the last slot that the kernel refused at the last change; 0: none */

static bool slot_is_range(const KvmSlot *slot, const FlatRange *range)
{
    return slot->size == range->size && slot->addr == range->start && slot->ram == range->ram &&
           slot->ram_offset == range->ram_offset && slot->readonly == range->readonly;
}

/* Whether RANGE can have a slot. */
static bool range_is_memory(const FlatRange *range)
{
    uint64_t mask = (uint64_t)sysconf(_SC_PAGESIZE) - 1;

    return range->ram && !((range->start | range->size | (uintptr_t)(range->ram->host + range->ram_offset)) & mask) &&
           (!range->readonly || kvm_vm.readonly_memory);
}

static int slot_tell(unsigned i, uint64_t size)
{
    const KvmSlot *slot = &slots[i];
    struct kvm_userspace_memory_region region = {
        .slot = i,
        .flags = !size ? 0 : slot->readonly ? KVM_MEM_READONLY
                           : slot->logged   ? KVM_MEM_LOG_DIRTY_PAGES
                                            : 0,
        .guest_phys_addr = slot->addr,
        .memory_size = size,
        .userspace_addr = (uintptr_t)(slot->ram->host + slot->ram_offset),
    };

    return kvm_ioctl(kvm_vm.vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

/* What the guest, or the kernel for it, has written in slot I since the last call goes to its block's log. */
static void slot_collect(unsigned i)
{
    const KvmSlot *slot = &slots[i];
    const uint64_t count = (slot->size / DIRTY_PAGE + 63) / 64;
    g_autofree uint64_t *bitmap = g_new0(uint64_t, count);
    struct kvm_dirty_log log = { .slot = i, .dirty_bitmap = bitmap };
    int ret = kvm_ioctl(kvm_vm.vm_fd, KVM_GET_DIRTY_LOG, &log);

    if (ret < 0) {
        log_error("KVM does not tell which memory was written: %s; all of it counts", errno_text(-ret));
        ram_block_dirty(slot->ram, slot->ram_offset, slot->size);
        return;
    }
    for (uint64_t word = 0; word < count; word++) {
        for (uint64_t bits = bitmap[word]; bits; bits &= bits - 1) {
            const uint64_t page = word * 64 + (unsigned)__builtin_ctzll(bits);

            ram_block_dirty(slot->ram, slot->ram_offset + page * DIRTY_PAGE, DIRTY_PAGE);
        }
    }
}

static void slot_drop(unsigned i)
{
    int ret;

    if (slots[i].logged) {
        slot_collect(i);
    }
    ret = slot_tell(i, 0);

    if (ret < 0) {
        log_error("KVM does not give memory back: %s", errno_text(-ret));
    }
    ram_block_unref(slots[i].ram);
    slots[i] = (KvmSlot) { 0 };
}

/* The slot of RANGE, made when there is none. */
static void slot_ensure(const FlatRange *range)
{
    unsigned free_slot = SLOTS_MAX;
    int ret;

    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        if (slot_is_range(&slots[i], range)) {
            return;
        }
        if (slots[i].size == 0 && free_slot == SLOTS_MAX) {
            free_slot = i;
        }
    }
    if (free_slot == SLOTS_MAX) {
        slot_error = ENOSPC;
        return;
    }
    slots[free_slot] = (KvmSlot) {
        .addr = range->start,
        .size = range->size,
        .ram = ram_block_ref(range->ram),
        .ram_offset = range->ram_offset,
        .readonly = range->readonly,
        .logged = !range->readonly && ram_block_is_logged(range->ram),
    };
    ret = slot_tell(free_slot, range->size);
    if (ret < 0) {
        slot_error = -ret;
        ram_block_unref(slots[free_slot].ram);
        slots[free_slot] = (KvmSlot) { 0 };
    }
}

static bool view_has(const FlatView *view, const KvmSlot *slot)
{
    for (unsigned i = 0; i < view->count; i++) {
        if (slot_is_range(slot, &view->ranges[i])) {
            return true;
        }
    }
    return false;
}

/* Whether VIEW wants other slots than there are: most changes of the map are those of BARs. */
static bool view_changes_slots(const FlatView *view)
{
    unsigned wanted = 0, kept = 0, used = 0;

    for (unsigned i = 0; i < view->count; i++) {
        wanted += range_is_memory(&view->ranges[i]);
    }
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        if (slots[i].size) {
            used++;
            kept += view_has(view, &slots[i]);
        }
    }
    return wanted != kept || used != kept;
}

static void kvm_memory_changed(MemoryListener *listener, const FlatView *old, const FlatView *new_view)
{
    if (!view_changes_slots(new_view)) {
        return;
    }
    slot_error = 0;
    vcpus_pause();
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        if (slots[i].size && !view_has(new_view, &slots[i])) {
            slot_drop(i);
        }
    }
    for (unsigned i = 0; i < new_view->count; i++) {
        if (range_is_memory(&new_view->ranges[i])) {
            slot_ensure(&new_view->ranges[i]);
        }
    }
    vcpus_resume();
    if (slot_error) {
        /* The guest finds the range slow, not wrong: its accesses come to the memory dispatch. */
        log_guest_error("KVM takes no more memory ranges: %s", errno_text(slot_error));
    }
}

static void kvm_log_changed(MemoryListener *listener, RamBlock *block)
{
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        int ret;

        if (!slots[i].size || slots[i].ram != block || slots[i].readonly) {
            continue;
        }
        slots[i].logged = ram_block_is_logged(block);
        ret = slot_tell(i, slots[i].size);
        if (ret < 0) {
            log_error("KVM does not %s logging of written memory: %s", slots[i].logged ? "begin" : "end",
                      errno_text(-ret));
        }
    }
}

static void kvm_log_collect(MemoryListener *listener, RamBlock *block)
{
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        if (slots[i].logged && slots[i].ram == block) {
            slot_collect(i);
        }
    }
}

static MemoryListener listener = {
    .changed = kvm_memory_changed,
    .log_changed = kvm_log_changed,
    .log_collect = kvm_log_collect,
};

bool kvm_memory_start(GError **errp)
{
    memory_listener_register(&listener, system_memory());
    if (slot_error) {
        error_setg_errno(errp, slot_error, "-accel kvm: the kernel does not take the guest's memory");
        return false;
    }
    return true;
}

void kvm_memory_stop(void)
{
    if (listener.as == NULL) {
        return;
    }
    memory_listener_unregister(&listener);
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        if (slots[i].size) {
            slot_drop(i);
        }
    }
}
