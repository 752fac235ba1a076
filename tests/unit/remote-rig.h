/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the device side: a function that is served, and its peer.
 *
 * Runs in: tests; the test's thread is the event loop and holds the machine lock.
 *
 * The peer is played by raw bytes on a socket pair (docs/interop/mpqemu-link.rst), not by our own client code.
 * All waits are turns of the event loop with a limit.
 */
#ifndef TESTS_REMOTE_RIG_H
#define TESTS_REMOTE_RIG_H

#include "count-fds.h"
#include "hw/remote/link-server.h"

#define PAGE UINT64_C(4096)

/* A function with BAR 0 (I/O) and BAR 1 (memory): offset 0 holds a value, 8 drives the interrupt, 16 calls the test. */
typedef struct TestFunction {
    PciDevice pci;
    MemoryRegion io, mem;
    uint64_t reg;
    unsigned resets;
    void (*on_write)(void *opaque); /* called by a write at offset 16; NULL: nobody is */
    void *on_write_opaque;
} TestFunction;

typedef struct TestFunctionClass {
    PciDeviceClass pci_class;
} TestFunctionClass;

QOM_DECLARE_TYPE(TestFunction, test_function, TEST_FUNCTION)
GType test_function_get_type(void);

#define IO_BASE 0xc000
#define MEM_BASE 0xfe000000

typedef struct ServerFixture {
    TestFunction *dev;
    LinkServer *server;
    int peer;         /* our end of the socket pair */
    unsigned ends;    /* calls of the ended callback */
    LinkServerEnd how;
} ServerFixture;

/* The fixture's own: the function mapped at IO_BASE and MEM_BASE, a bus master. */
void server_setup(ServerFixture *f, gconstpointer data);
void server_teardown(ServerFixture *f, gconstpointer data);

/* A range of SYNC_SYSMEM. */
typedef struct Range {
    uint64_t gpa, size, offset;
    int fd; /* the test's; the table gets a copy */
} Range;

/* LinkServerEnded: counts in the fixture OPAQUE. */
void server_ended(LinkServer *server, LinkServerEnd how, void *opaque);

/* The link lives and answers. */
void assert_alive(ServerFixture *f);

void turn(void);

/* Events that wait in a non-blocking eventfd; takes them. */
uint64_t take_events(int fd);
void add_events(int fd, uint64_t count);
int make_memfd(uint64_t size);

/* main() of a program whose tests ADD adds: an event loop, its lock, a PCI host bridge. */
int remote_rig_main(int argc, char **argv, void (*add)(void));

/* A message as bytes: header, then up to 192 bytes of payload.  Returns its length. */
size_t encode(uint8_t *wire, uint32_t cmd, const void *payload, uint64_t size);
void send_bytes(ServerFixture *f, const void *data, size_t size, const int *fds, unsigned num_fds);
void send_msg(ServerFixture *f, uint32_t cmd, const void *payload, uint64_t size);

/* Turns the loop, then takes one reply.  Returns false when there is none. */
bool take_reply(ServerFixture *f, uint64_t *ret_value);

/* Of BAR_READ and BAR_WRITE. */
typedef struct BarPayload {
    uint64_t addr, val;
    uint32_t size;
    uint8_t memory, padding[3];
} BarPayload;

/* A message and its reply's value. */
uint64_t call(ServerFixture *f, uint32_t cmd, const void *payload, uint64_t size);
uint64_t config(ServerFixture *f, bool write, uint32_t addr, uint32_t val, uint32_t len);
uint64_t bar(ServerFixture *f, bool write, bool memory, uint64_t addr, uint64_t val, uint32_t size);

#endif
