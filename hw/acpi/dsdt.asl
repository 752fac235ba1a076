/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pc board as ACPI's namespace (ACPI 5.0).
 *
 * The C preprocessor sees this file first, then iasl; scripts/dsdt-gen.py makes a C array of the result.  Values that
 * depend on the machine are the names in the first block: hw/acpi/tables.c finds them in the byte code by name and
 * writes over their numbers, so each must be of the width that its number here makes it.
 *
 * Registers: include/hw/acpi/pci-hotplug.h (0xae00), hw/i386/pc-irq.h (0xae20), hw/i386/piix3.h (PIRQRC), include/hw/acpi/pm.h (events, sleep).
 */

/* Slots 0 and 1 are the board's.  X(name of the slot's device, slot in hex). */
#define FOREACH_USER_SLOT(X) \
    X(S02, 0x02) X(S03, 0x03) X(S04, 0x04) X(S05, 0x05) X(S06, 0x06) X(S07, 0x07) X(S08, 0x08) X(S09, 0x09) \
    X(S0A, 0x0a) X(S0B, 0x0b) X(S0C, 0x0c) X(S0D, 0x0d) X(S0E, 0x0e) X(S0F, 0x0f) X(S10, 0x10) X(S11, 0x11) \
    X(S12, 0x12) X(S13, 0x13) X(S14, 0x14) X(S15, 0x15) X(S16, 0x16) X(S17, 0x17) X(S18, 0x18) X(S19, 0x19) \
    X(S1A, 0x1a) X(S1B, 0x1b) X(S1C, 0x1c) X(S1D, 0x1d) X(S1E, 0x1e) X(S1F, 0x1f)

DefinitionBlock ("", "DSDT", 2, "MPQEMU", "MPQEMUPC", 1)
{
    Scope (\_SB)
    {
        Name (MS32, 0x11223344)         /* memory for BARs below 4 GiB: first */
        Name (ME32, 0x11223355)         /* and last byte */
        Name (MS64, 0x1122334455667788) /* above it; none when first is 0 */
        Name (ME64, 0x1122334455667799)
        Name (ISAD, 0x11223366)         /* ACPI_ISA_* bits: which devices of the ISA bus are there */
        Name (PICM, 0)                  /* interrupt model: 0 the 8259s, 1 the I/O APIC */
    }

    /* PC_IRQ_MODEL_PORT: interrupt controllers in the kernel must know, too. */
    OperationRegion (IMOD, SystemIO, 0xae20, 1)
    Field (IMOD, ByteAcc, NoLock, WriteAsZeros)
    {
        IMDL, 8
    }
    Method (\_PIC, 1)
    {
        \_SB.PICM = Arg0
        IMDL = Arg0
    }

    /* SLP_TYP of S5, for PM1a and PM1b. */
    Name (\_S5, Package () { 0, 0, 0, 0 })

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, 0)

            Name (CRES, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0xff, 0, 0x100)
                IO (Decode16, 0xcf8, 0xcf8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0, 0xcf7, 0, 0xcf8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0xd00, 0xffff, 0, 0xf300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                             0, 0xa0000, 0xbffff, 0, 0x20000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                             0, 0, 0, 0, 0, , , MW32)
            })
            Name (CR64, ResourceTemplate ()
            {
                QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                             0, 0, 0, 0, 0, , , MW64)
            })
            Method (_CRS, 0, Serialized)
            {
                CreateDWordField (CRES, \_SB.PCI0.MW32._MIN, MIN3)
                CreateDWordField (CRES, \_SB.PCI0.MW32._MAX, MAX3)
                CreateDWordField (CRES, \_SB.PCI0.MW32._LEN, LEN3)
                CreateQWordField (CR64, \_SB.PCI0.MW64._MIN, MIN6)
                CreateQWordField (CR64, \_SB.PCI0.MW64._MAX, MAX6)
                CreateQWordField (CR64, \_SB.PCI0.MW64._LEN, LEN6)

                MIN3 = MS32
                MAX3 = ME32
                LEN3 = ME32 - MS32 + 1
                If (MS64 == 0)
                {
                    Return (CRES)
                }
                MIN6 = MS64
                MAX6 = ME64
                LEN6 = ME64 - MS64 + 1
                Return (ConcatenateResTemplate (CRES, CR64))
            }

            /* Pin p of slot s is PIRQ (s - 1 + p) & 3: I/O APIC pin 16 + that, or the PIIX3's route at the 8259s. */
#define PRT_SLOT(n, a, b, c, d) \
    Package () { ((n) << 16) | 0xffff, 0, TARGET(a) }, Package () { ((n) << 16) | 0xffff, 1, TARGET(b) }, \
    Package () { ((n) << 16) | 0xffff, 2, TARGET(c) }, Package () { ((n) << 16) | 0xffff, 3, TARGET(d) },
#define PRT_4_SLOTS(n) \
    PRT_SLOT(n, D, A, B, C) PRT_SLOT(n + 1, A, B, C, D) PRT_SLOT(n + 2, B, C, D, A) PRT_SLOT(n + 3, C, D, A, B)
#define PRT_ALL \
    PRT_4_SLOTS(0) PRT_4_SLOTS(4) PRT_4_SLOTS(8) PRT_4_SLOTS(12) \
    PRT_4_SLOTS(16) PRT_4_SLOTS(20) PRT_4_SLOTS(24) PRT_4_SLOTS(28)
#define GSI_A 16
#define GSI_B 17
#define GSI_C 18
#define GSI_D 19
#define TARGET(pirq) 0, GSI_##pirq
            Name (PRTA, Package () { PRT_ALL })
#undef TARGET
#define TARGET(pirq) \_SB.LNK##pirq, 0
            Name (PRTP, Package () { PRT_ALL })
            Method (_PRT, 0)
            {
                If (PICM)
                {
                    Return (PRTA)
                }
                Return (PRTP)
            }

            /* ---- PIIX3 and what is behind it ---- */

            Device (ISA)
            {
                Name (_ADR, 0x00010000)
                OperationRegion (PIRQ, PCI_Config, 0x60, 4)
                Field (PIRQ, ByteAcc, NoLock, Preserve)
                {
                    PRQA, 8, PRQB, 8, PRQC, 8, PRQD, 8
                }

                /* Present when bit BIT of the board's set is. */
#define STATUS_OF(bit) Method (_STA, 0) { If (ISAD & bit) { Return (0x0f) } Return (0) }
                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 1)
                    STATUS_OF(0x01)
                    Name (_CRS, ResourceTemplate () { IO (Decode16, 0x3f8, 0x3f8, 0, 8) IRQNoFlags () { 4 } })
                }
                Device (COM2)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 2)
                    STATUS_OF(0x02)
                    Name (_CRS, ResourceTemplate () { IO (Decode16, 0x2f8, 0x2f8, 0, 8) IRQNoFlags () { 3 } })
                }
                Device (KBD)
                {
                    Name (_HID, EisaId ("PNP0303"))
                    STATUS_OF(0x04)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x60, 0x60, 1, 1)
                        IO (Decode16, 0x64, 0x64, 1, 1)
                        IRQNoFlags () { 1 }
                    })
                }
                Device (MOU)
                {
                    Name (_HID, EisaId ("PNP0F13"))
                    STATUS_OF(0x08)
                    Name (_CRS, ResourceTemplate () { IRQNoFlags () { 12 } })
                }
                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    STATUS_OF(0x10)
                    Name (_CRS, ResourceTemplate () { IO (Decode16, 0x70, 0x70, 1, 2) IRQNoFlags () { 8 } })
                }
            }

            /* ---- hot-plug: each slot of a user's devices ---- */

            OperationRegion (HPCI, SystemIO, 0xae00, 0x14)
            Field (HPCI, DWordAcc, NoLock, WriteAsZeros)
            {
                PCIU, 32, PCID, 32, B0EJ, 32, , 32, B0OS, 32
            }
            Mutex (BLCK, 0)
            Method (EJSL, 1)
            {
                Acquire (BLCK, 0xffff)
                B0EJ = 1 << Arg0
                Release (BLCK)
            }
            Method (OUTC, 3) /* slot, event (beyond a byte: the guest's own doing, which is not asked for), status */
            {
                If (Arg1 <= 0xff)
                {
                    Acquire (BLCK, 0xffff)
                    B0OS = Arg0 | Arg1 << 8 | (Arg2 & 0xff) << 16
                    Release (BLCK)
                }
            }
#define SLOT_DEVICE(name, n) \
    Device (name) \
    { \
        Name (_ADR, n << 16) \
        Name (_SUN, n) \
        Method (_EJ0, 1) { EJSL (n) } \
        Method (_OST, 3) { OUTC (n, Arg0, Arg1) } \
    }
            FOREACH_USER_SLOT(SLOT_DEVICE)

#define SLOT_NOTIFY(name, n) If (Arg0 & (1 << n)) { Notify (name, Arg1) }
            Method (NTFY, 2)
            {
                FOREACH_USER_SLOT(SLOT_NOTIFY)
            }
            Method (CHKB, 1)
            {
                If (Arg0 & 1)
                {
                    Notify (\_SB.PCI0, 0) /* bus check */
                }
            }
            Method (PCNT, 0)
            {
                Acquire (BLCK, 0xffff)
                Local0 = PCIU
                Local1 = PCID
                Release (BLCK)
                CHKB (Local0)
                NTFY (Local0, 1) /* device check */
                NTFY (Local1, 3) /* eject request */
            }
        }

        /* ---- PCI interrupts at the 8259s ---- */

#define LINK(name, uid, reg) \
    Device (name) \
    { \
        Name (_HID, EisaId ("PNP0C0F")) \
        Name (_UID, uid) \
        Name (_PRS, ResourceTemplate () { IRQ (Level, ActiveLow, Shared) { 5, 10, 11 } }) \
        Method (_STA, 0) { If (\_SB.PCI0.ISA.reg & 0x80) { Return (0x09) } Return (0x0b) } \
        Method (_DIS, 0) { \_SB.PCI0.ISA.reg |= 0x80 } \
        Name (RES, ResourceTemplate () { IRQ (Level, ActiveLow, Shared) { } }) \
        Method (_CRS, 0, Serialized) \
        { \
            CreateWordField (RES, 1, IRQS) \
            IRQS = 0 \
            If ((\_SB.PCI0.ISA.reg & 0x80) == 0) { IRQS = 1 << (\_SB.PCI0.ISA.reg & 0x0f) } \
            Return (RES) \
        } \
        Method (_SRS, 1, Serialized) \
        { \
            CreateWordField (Arg0, 1, IRQS) \
            FindSetRightBit (IRQS, Local0) \
            If (Local0) { \_SB.PCI0.ISA.reg = Local0 - 1 } \
        } \
    }
        LINK(LNKA, 1, PRQA)
        LINK(LNKB, 2, PRQB)
        LINK(LNKC, 3, PRQC)
        LINK(LNKD, 4, PRQD)

        /* ---- ports that nobody else may take ---- */

        Device (RES0)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x00b2, 0x00b2, 1, 2)
                IO (Decode16, 0x0600, 0x0600, 1, 0x40)
                IO (Decode16, 0xae00, 0xae00, 1, 0x14)
                IO (Decode16, 0xae20, 0xae20, 1, 1)
                IO (Decode16, 0xafe0, 0xafe0, 1, 4)
            })
        }
        Device (FWCF)
        {
            Name (_HID, "QEMU0002")
            Name (_STA, 0x0b)
            Name (_CRS, ResourceTemplate () { IO (Decode16, 0x510, 0x510, 1, 12) })
        }
    }

    Scope (\_GPE)
    {
        Method (_E01, 0)
        {
            \_SB.PCI0.PCNT ()
        }
    }
}
