/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 16550A UART.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  Each access changes the state and ends in uart_update_irq(), which looks at the conditions of
 * all interrupts in the order of their priority.  The transmitter is pumped at once: when the backend takes
 * everything, FIFO and shift register are empty again before the guest's instruction ends, and the THRE interrupt is
 * due.  The line goes down for a moment then, as it does in a chip while the character is on its way: the 8259 and
 * the I/O APIC see an edge for each, also when the driver did not read IIR.
 *
 * The receiver takes from the backend what fits, and asks for more when it has been emptied: not with each character
 * that is read, which would wake the main loop sixteen times for nothing.
 */
#include "hw/char/serial.h"

#include <string.h>
#include "trace/hw-char.h"

/* The clock of a PC's UART, 1.8432 MHz, divided by the chip's 16. */
#define BAUD_BASE 115200u

/* The receiver's time-out (data sheet, 8.4.1, "FIFO interrupt mode"). */
#define TIMEOUT_CHARACTERS 4

/* ---- interrupts ---------------------------------------------------------------------------------- */

static bool fifo_enabled(const Uart *uart)
{
    return uart->fcr & UART_FCR_ENABLE;
}

static unsigned fifo_size(const Uart *uart)
{
    return fifo_enabled(uart) ? UART_FIFO : 1;
}

static unsigned rx_trigger(const Uart *uart)
{
    static const uint8_t levels[] = { 1, 4, 8, 14 };

    return fifo_enabled(uart) ? levels[uart->fcr >> UART_FCR_TRIGGER_SHIFT] : 1;
}

static bool in_loopback(const Uart *uart)
{
    return uart->mcr & UART_MCR_LOOP;
}

/* The interrupt of the highest priority that is due, as IIR tells it. */
static uint8_t uart_interrupt(const Uart *uart)
{
    if ((uart->ier & UART_IER_RLSI) && uart->line_errors) {
        return UART_IIR_RLSI;
    }
    if (uart->ier & UART_IER_RDI) {
        if (uart->rx_count >= rx_trigger(uart)) {
            return UART_IIR_RDI;
        }
        if (uart->timed_out) {
            return UART_IIR_TIMEOUT;
        }
    }
    if ((uart->ier & UART_IER_THRI) && uart->thre_pending) {
        return UART_IIR_THRI;
    }
    if ((uart->ier & UART_IER_MSI) && (uart->msr & UART_MSR_DELTAS)) {
        return UART_IIR_MSI;
    }
    return UART_IIR_NONE;
}

static void set_irq(Uart *uart, bool level)
{
    if (uart->irq_level != level) {
        uart->irq_level = level;
        trace_uart_irq(uart->name, level);
        irq_set(uart->irq, level);
    }
}

/* In loopback mode the pin OUT2 is inactive whatever the register says, and with it the PC's gate is shut. */
static void uart_update_irq(Uart *uart)
{
    bool gate = (uart->mcr & UART_MCR_OUT2) && !in_loopback(uart);

    set_irq(uart, gate && uart_interrupt(uart) != UART_IIR_NONE);
}

/* ---- receiver ------------------------------------------------------------------------------------ */

/* Time of four characters in the guest's format. */
static int64_t timeout_ns(const Uart *uart)
{
    unsigned bits = 1 + 5 + (uart->lcr & UART_LCR_LENGTH) + (uart->lcr & UART_LCR_PARITY ? 1 : 0) +
                    (uart->lcr & UART_LCR_STOP ? 2 : 1);

    return (int64_t)TIMEOUT_CHARACTERS * bits * MAX(uart->divisor, 1) * G_GINT64_CONSTANT(1000000000) / BAUD_BASE;
}

/* A character went into the FIFO or out of it: the time-out begins anew. */
static void restart_timeout(Uart *uart)
{
    uart->timed_out = false;
    if (fifo_enabled(uart) && uart->rx_count > 0) {
        event_timer_arm(uart->timeout_timer, event_clock_ns(EVENT_CLOCK_VIRTUAL) + timeout_ns(uart));
    } else {
        event_timer_disarm(uart->timeout_timer);
    }
}

static void timeout_expired(void *opaque)
{
    Uart *uart = opaque;

    uart->timed_out = uart->rx_count > 0;
    uart_update_irq(uart);
}

/* What LSR tells of a character it tells when that is the next to be read. */
static void reveal_errors(Uart *uart)
{
    if (uart->rx_count > 0) {
        uart->line_errors |= uart->rx_errors[uart->rx_first];
        uart->rx_errors[uart->rx_first] = 0;
    }
}

static bool fifo_has_errors(const Uart *uart)
{
    for (unsigned i = 0; fifo_enabled(uart) && i < uart->rx_count; i++) {
        if (uart->rx_errors[(uart->rx_first + i) % UART_FIFO]) {
            return true;
        }
    }
    return false;
}

/*
 * A character comes in.  When there is no room it is lost: in the FIFO the new one, without FIFOs the old one (data
 * sheet, 8.6.4, bit 1).
 */
static void rx_push(Uart *uart, uint8_t value, uint8_t errors)
{
    unsigned place;

    if (uart->rx_count == fifo_size(uart)) {
        uart->line_errors |= UART_LSR_OE;
        if (fifo_enabled(uart)) {
            return;
        }
        uart->rx_count = 0;
    }
    place = (uart->rx_first + uart->rx_count) % UART_FIFO;
    uart->rx[place] = value;
    uart->rx_errors[place] = errors;
    uart->rx_count++;
    if (uart->rx_count == 1) {
        reveal_errors(uart);
    }
    restart_timeout(uart);
}

static void rx_clear(Uart *uart)
{
    uart->rx_first = 0;
    uart->rx_count = 0;
    restart_timeout(uart);
    chardev_accept_input(uart->chr);
}

static uint8_t read_rbr(Uart *uart)
{
    uint8_t value = uart->rx[uart->rx_first];

    if (uart->rx_count == 0) {
        return value; /* the register holds what was read last */
    }
    if (uart->rx_count > 1) {
        uart->rx_first = (uart->rx_first + 1) % UART_FIFO;
    }
    uart->rx_count--;
    reveal_errors(uart);
    restart_timeout(uart);
    if (uart->rx_count == 0) {
        chardev_accept_input(uart->chr);
    }
    return value;
}

/* Nothing comes in from outside in loopback mode; it waits. */
static size_t backend_can_read(void *opaque)
{
    Uart *uart = opaque;

    return in_loopback(uart) ? 0 : fifo_size(uart) - uart->rx_count;
}

static void backend_read(void *opaque, const uint8_t *data, size_t len)
{
    Uart *uart = opaque;

    for (size_t i = 0; i < len; i++) {
        rx_push(uart, data[i], 0);
    }
    trace_uart_receive(uart->name, len, uart->rx_count);
    uart_update_irq(uart);
}

static void backend_event(void *opaque, ChardevEvent event)
{
    Uart *uart = opaque;

    if (event == CHARDEV_EVENT_BREAK && !in_loopback(uart)) {
        rx_push(uart, 0, UART_LSR_BI);
        uart_update_irq(uart);
    }
}

/* ---- transmitter --------------------------------------------------------------------------------- */

/* Sends what the backend takes. */
static void tx_pump(Uart *uart)
{
    size_t taken;

    if (uart->tx_count == 0) {
        return;
    }
    if (in_loopback(uart)) {
        for (unsigned i = 0; i < uart->tx_count; i++) {
            rx_push(uart, uart->tx[i], 0);
        }
        taken = uart->tx_count;
    } else {
        taken = chardev_write(uart->chr, uart->tx, uart->tx_count);
    }
    uart->tx_count -= (unsigned)taken;
    memmove(uart->tx, uart->tx + taken, uart->tx_count);
    trace_uart_send(uart->name, taken, uart->tx_count);
    if (uart->tx_count == 0) {
        uart->thre_pending = true;
    }
}

static void write_thr(Uart *uart, uint8_t value)
{
    /* A driver that does not look at LSR loses characters: without FIFOs the old one, with them the new one. */
    if (!fifo_enabled(uart)) {
        uart->tx_count = 0;
    }
    if (uart->tx_count < fifo_size(uart)) {
        uart->tx[uart->tx_count++] = value;
    }
    uart->thre_pending = false;
    uart_update_irq(uart); /* down, if it was for this, before it goes up again */
    tx_pump(uart);
}

static void tx_clear(Uart *uart)
{
    if (uart->tx_count > 0) {
        uart->tx_count = 0;
        uart->thre_pending = true;
    }
}

static void backend_can_write(void *opaque)
{
    Uart *uart = opaque;

    tx_pump(uart);
    uart_update_irq(uart);
}

/* ---- the other registers ------------------------------------------------------------------------- */

static void write_ier(Uart *uart, uint8_t value)
{
    uint8_t old = uart->ier;

    uart->ier = value & (UART_IER_RDI | UART_IER_THRI | UART_IER_RLSI | UART_IER_MSI);
    if ((uart->ier & ~old & UART_IER_THRI) && uart->tx_count == 0) {
        uart->thre_pending = true;
    }
}

static uint8_t read_iir(Uart *uart)
{
    uint8_t id = uart_interrupt(uart);

    if (id == UART_IIR_THRI) {
        uart->thre_pending = false;
    }
    return id | (fifo_enabled(uart) ? UART_IIR_FIFO : 0);
}

/* The other bits count only together with the enabling one, whose change clears both FIFOs (data sheet, 8.5). */
static void write_fcr(Uart *uart, uint8_t value)
{
    bool changed = (value ^ uart->fcr) & UART_FCR_ENABLE;

    uart->fcr = value & UART_FCR_ENABLE ? value & (UART_FCR_ENABLE | 3u << UART_FCR_TRIGGER_SHIFT) : 0;
    if (changed || (value & UART_FCR_ENABLE && value & UART_FCR_CLEAR_RX)) {
        rx_clear(uart);
    }
    if (changed || (value & UART_FCR_ENABLE && value & UART_FCR_CLEAR_TX)) {
        tx_clear(uart);
    }
}

static void write_lcr(Uart *uart, uint8_t value)
{
    bool break_begins = value & ~uart->lcr & UART_LCR_BREAK;

    uart->lcr = value;
    if (break_begins && in_loopback(uart)) {
        rx_push(uart, 0, UART_LSR_BI);
    }
}

/* The modem lines: always asserted, or in loopback mode the outputs of MCR. */
static uint8_t modem_lines(const Uart *uart)
{
    if (!in_loopback(uart)) {
        return UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD;
    }
    return (uart->mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) | (uart->mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
           (uart->mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) | (uart->mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0);
}

static void update_msr(Uart *uart)
{
    uint8_t lines = modem_lines(uart);
    uint8_t changed = (uart->msr ^ lines) & ~UART_MSR_DELTAS;

    if (lines & UART_MSR_RI) {
        changed &= (uint8_t)~UART_MSR_RI; /* of the ring indicator the trailing edge alone is told */
    }
    uart->msr = lines | (uart->msr & UART_MSR_DELTAS) | changed >> 4;
}

static void write_mcr(Uart *uart, uint8_t value)
{
    bool was_loop = in_loopback(uart);

    uart->mcr = value & UART_MCR_WRITABLE;
    update_msr(uart);
    if (was_loop && !in_loopback(uart)) {
        chardev_accept_input(uart->chr);
    }
    if (was_loop != in_loopback(uart)) {
        tx_pump(uart); /* what waited for the backend goes round, or the other way */
    }
}

static uint8_t read_lsr(Uart *uart)
{
    uint8_t value = uart->line_errors | (uart->rx_count > 0 ? UART_LSR_DR : 0) |
                    (uart->tx_count == 0 ? UART_LSR_THRE | UART_LSR_TEMT : 0);

    if (fifo_has_errors(uart) || (fifo_enabled(uart) && value & (UART_LSR_PE | UART_LSR_FE | UART_LSR_BI))) {
        value |= UART_LSR_FIFO_ERROR;
    }
    uart->line_errors = 0;
    return value;
}

static uint8_t read_msr(Uart *uart)
{
    uint8_t value = uart->msr;

    uart->msr &= (uint8_t)~UART_MSR_DELTAS;
    return value;
}

/* ---- access -------------------------------------------------------------------------------------- */

static uint8_t read_register(Uart *uart, unsigned reg)
{
    bool divisor = uart->lcr & UART_LCR_DLAB;

    switch (reg) {
    case UART_RBR:
        return divisor ? (uint8_t)uart->divisor : read_rbr(uart);
    case UART_IER:
        return divisor ? uart->divisor >> 8 : uart->ier;
    case UART_IIR:
        return read_iir(uart);
    case UART_LCR:
        return uart->lcr;
    case UART_MCR:
        return uart->mcr;
    case UART_LSR:
        return read_lsr(uart);
    case UART_MSR:
        return read_msr(uart);
    default:
        return uart->scr;
    }
}

static void write_register(Uart *uart, unsigned reg, uint8_t value)
{
    bool divisor = uart->lcr & UART_LCR_DLAB;

    switch (reg) {
    case UART_THR:
        if (divisor) {
            uart->divisor = (uart->divisor & 0xff00) | value;
        } else {
            write_thr(uart, value);
        }
        break;
    case UART_IER:
        if (divisor) {
            uart->divisor = (uint16_t)((uart->divisor & 0xff) | value << 8);
        } else {
            write_ier(uart, value);
        }
        break;
    case UART_FCR:
        write_fcr(uart, value);
        break;
    case UART_LCR:
        write_lcr(uart, value);
        break;
    case UART_MCR:
        write_mcr(uart, value);
        break;
    case UART_SCR:
        uart->scr = value;
        break;
    default: /* LSR and MSR: for factory tests only */
        break;
    }
}

uint8_t uart_read(Uart *uart, unsigned reg)
{
    uint8_t value = read_register(uart, reg);

    trace_uart_read(uart->name, reg, value);
    uart_update_irq(uart);
    return value;
}

void uart_write(Uart *uart, unsigned reg, uint8_t value)
{
    trace_uart_write(uart->name, reg, value);
    write_register(uart, reg, value);
    uart_update_irq(uart);
}

/* ---- life cycle ---------------------------------------------------------------------------------- */

static const ChardevOps backend_ops = {
    .can_read = backend_can_read,
    .read = backend_read,
    .can_write = backend_can_write,
    .event = backend_event,
};

bool uart_init(Uart *uart, const char *chardev, GError **errp)
{
    if (chardev) {
        uart->chr = chardev_attach(chardev, &backend_ops, uart, errp);
        if (!uart->chr) {
            return false;
        }
    }
    uart->divisor = 12; /* 9600 baud, what a PC's firmware leaves */
    uart->timeout_timer = event_timer_new(event_loop_main(), EVENT_CLOCK_VIRTUAL, timeout_expired, uart);
    uart_reset(uart);
    return true;
}

void uart_destroy(Uart *uart)
{
    chardev_detach(uart->chr);
    uart->chr = NULL;
    event_timer_free(uart->timeout_timer);
    uart->timeout_timer = NULL;
    set_irq(uart, false);
}

void uart_reset(Uart *uart)
{
    uart->ier = 0;
    uart->fcr = 0;
    uart->lcr = 0;
    uart->mcr = 0;
    uart->line_errors = 0;
    uart->tx_count = 0;
    uart->thre_pending = false;
    rx_clear(uart);
    uart->msr = modem_lines(uart);
    uart_update_irq(uart);
}
