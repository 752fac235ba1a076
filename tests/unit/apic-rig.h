/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of local APICs: processors that execute nothing and note what they are told.
 *
 * Runs in: tests; the test's thread is the main loop and holds the machine lock.
 */
#ifndef TESTS_APIC_RIG_H
#define TESTS_APIC_RIG_H

#include <stdatomic.h>
#include "hw/intc/apic.h"

#define COUNT 3u

/* An access that a vCPU's thread makes for the test. */
typedef struct Job {
    bool write;
    hwaddr addr;
    uint64_t value;
    MemResult result;
} Job;

typedef struct FakeCpu {
    bool intr;
    unsigned nmis, inits;
    int sipi;
    atomic_bool kicked;
    _Atomic(Job *) job;
} FakeCpu;

extern FakeCpu fake[COUNT];

/* All enabled, flat logical ids 1, 2, 4. */
typedef struct Fixture {
    Ioapic *ioapic;
    LocalApic *apic[COUNT];
    uint8_t pic_vector;
    unsigned pic_acks;
} Fixture;

/* JOB done by the thread of CPU; with its result. */
Job do_job(unsigned cpu, Job job);

/* A register of CPU's APIC by its window, as the guest has it. */
uint32_t rd(unsigned cpu, unsigned reg);
void wr(unsigned cpu, unsigned reg, uint32_t value);

/* Waits until the vCPUs have done their resets and the like. */
void settle(void);
void start_others(void);

/* Takes the interrupt of CPU and ends it. */
int take(Fixture *f, unsigned cpu);
void check_nobody(const Fixture *f);

/* Sends VALUE to DEST. */
void icr(unsigned cpu, uint8_t dest, uint32_t value);

/* That exactly the CPUs of MASK have VECTOR. */
void check_who(Fixture *f, unsigned mask, int vector);

typedef struct ApicTest {
    const char *path;
    void (*fn)(Fixture *f, gconstpointer data);
} ApicTest;

/* main() of a program with these tests. */
int apic_rig_main(int argc, char **argv, const ApicTest *tests, unsigned count);

#endif
