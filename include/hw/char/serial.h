/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 16550A UART, and "isa-serial", which is one on the ISA bus.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 * Source: National Semiconductor PC16550D data sheet, section 8 (registers); the IRQ gated by OUT2 and the places of
 * COM1 to COM4 are the IBM PC's.
 *
 * What differs from a chip: a character takes no time on the line.  What is written is sent while the backend takes
 * it; what it does not take stays in the transmitter's FIFO, and LSR shows it.  Input is taken from the backend only
 * while the receiver's FIFO has room, so no overrun comes from outside.  The receiver's time-out does take the four
 * characters' time that the divisor and the format give.  A break that the guest sends is seen in loopback mode
 * only.  Carrier, data set ready and clear to send are always asserted.
 *
 * isa-serial: properties chardev (id of a -chardev; without one nothing is connected), index (0 to 3: COM1 to COM4; by
 * default the next one), iobase and irq (by default those of COMn).
 */
#ifndef HW_CHAR_SERIAL_H
#define HW_CHAR_SERIAL_H

#include "chardev/chardev.h"
#include "hw/core/irq.h"
#include "qom/object.h"
#include "util/event-loop.h"

#define UART_PORTS 8u
#define UART_FIFO 16u

/* Registers by offset; those with DLAB are there while LCR's bit 7 is set. */
enum {
    UART_RBR = 0, /* read: receiver buffer */
    UART_THR = 0, /* write: transmitter holding */
    UART_DLL = 0, /* DLAB: divisor, low */
    UART_IER = 1,
    UART_DLM = 1, /* DLAB: divisor, high */
    UART_IIR = 2, /* read */
    UART_FCR = 2, /* write */
    UART_LCR = 3,
    UART_MCR = 4,
    UART_LSR = 5,
    UART_MSR = 6,
    UART_SCR = 7,
};

enum {
    UART_IER_RDI = 1 << 0,  /* received data, and its time-out */
    UART_IER_THRI = 1 << 1, /* transmitter holding register empty */
    UART_IER_RLSI = 1 << 2, /* receiver line status */
    UART_IER_MSI = 1 << 3,  /* modem status */

    UART_IIR_NONE = 1,
    UART_IIR_MSI = 0 << 1,
    UART_IIR_THRI = 1 << 1,
    UART_IIR_RDI = 2 << 1,
    UART_IIR_RLSI = 3 << 1,
    UART_IIR_TIMEOUT = 6 << 1,
    UART_IIR_ID = 0xf,
    UART_IIR_FIFO = 0xc0,

    UART_FCR_ENABLE = 1 << 0,
    UART_FCR_CLEAR_RX = 1 << 1,
    UART_FCR_CLEAR_TX = 1 << 2,
    UART_FCR_TRIGGER_SHIFT = 6,

    UART_LCR_LENGTH = 3, /* 5 bits and these */
    UART_LCR_STOP = 1 << 2,
    UART_LCR_PARITY = 1 << 3,
    UART_LCR_BREAK = 1 << 6,
    UART_LCR_DLAB = 1 << 7,

    UART_MCR_DTR = 1 << 0,
    UART_MCR_RTS = 1 << 1,
    UART_MCR_OUT1 = 1 << 2,
    UART_MCR_OUT2 = 1 << 3,
    UART_MCR_LOOP = 1 << 4,
    UART_MCR_WRITABLE = 0x1f,

    UART_LSR_DR = 1 << 0,
    UART_LSR_OE = 1 << 1,
    UART_LSR_PE = 1 << 2,
    UART_LSR_FE = 1 << 3,
    UART_LSR_BI = 1 << 4,
    UART_LSR_ERRORS = 0x1e,
    UART_LSR_THRE = 1 << 5,
    UART_LSR_TEMT = 1 << 6,
    UART_LSR_FIFO_ERROR = 1 << 7,

    UART_MSR_DCTS = 1 << 0,
    UART_MSR_DDSR = 1 << 1,
    UART_MSR_TERI = 1 << 2,
    UART_MSR_DDCD = 1 << 3,
    UART_MSR_DELTAS = 0xf,
    UART_MSR_CTS = 1 << 4,
    UART_MSR_DSR = 1 << 5,
    UART_MSR_RI = 1 << 6,
    UART_MSR_DCD = 1 << 7,
};

/* Embedded in its device.  All but `irq` and `name` is serial.c's. */
typedef struct Uart {
    const char *name; /* for traces */
    IrqLine *irq;
    Chardev *chr;     /* NULL: nothing is connected */
    EventTimer *timeout_timer;

    uint8_t ier, fcr, lcr, mcr, scr; /* as written; fcr: enable and trigger only */
    uint8_t msr;
    uint16_t divisor;
    uint8_t line_errors; /* UART_LSR_ERRORS to be told by LSR */
    bool thre_pending;   /* the THRE interrupt has not been told by IIR */
    bool timed_out;      /* of the receiver */
    bool irq_level;

    uint8_t rx[UART_FIFO], rx_errors[UART_FIFO]; /* rx_errors: of the character at the same place */
    unsigned rx_first, rx_count;
    uint8_t tx[UART_FIFO];
    unsigned tx_count;
} Uart;

/*
 * Begins UART, whose `name` and `irq` are set, on backend CHARDEV (NULL: none).  False with *errp, and nothing is left,
 * when the backend is not to be had.
 */
bool uart_init(Uart *uart, const char *chardev, GError **errp);
void uart_destroy(Uart *uart);

/* Master reset; the divisor and the scratch register keep their values, as in the chip. */
void uart_reset(Uart *uart);

/* The guest's access to register REG (below UART_PORTS). */
uint8_t uart_read(Uart *uart, unsigned reg);
void uart_write(Uart *uart, unsigned reg, uint8_t value);

/* The device type "isa-serial"; at most this many have a place by default, the PC's COM1 to COM4. */
#define ISA_SERIAL_MAX 4
GType isa_serial_get_type(void);

#endif
