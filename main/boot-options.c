/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -kernel, -initrd, -append, -bios, -boot, -rtc.
 *
 * Runs in: mpqemu.
 */
#include "boot-options.h"

#include "hw/rtc/mc146818.h"
#include "util/error.h"
#include "util/options.h"

bool main_opt_kernel(const char *arg, void *opaque, GError **errp)
{
    ((MainConfig *)opaque)->kernel = arg;
    return true;
}

bool main_opt_initrd(const char *arg, void *opaque, GError **errp)
{
    ((MainConfig *)opaque)->initrd = arg;
    return true;
}

bool main_opt_append(const char *arg, void *opaque, GError **errp)
{
    ((MainConfig *)opaque)->append = arg;
    return true;
}

bool main_opt_bios(const char *arg, void *opaque, GError **errp)
{
    ((MainConfig *)opaque)->bios = arg;
    return true;
}

/* -rtc [base=]utc|localtime|DATE[,clock=vm]: the clock goes with the guest's time. */
bool main_opt_rtc(const char *arg, void *opaque, GError **errp)
{
    static const char *const known[] = { "base", "clock", NULL };
    MainConfig *config = opaque;
    g_autoptr(Options) opts = options_parse("-rtc", arg, NULL, errp);
    const char *base, *clock;

    if (!opts) {
        return false;
    }
    base = options_get(opts, "base");
    clock = options_get(opts, "clock");
    if (!options_check_unused(opts, known, errp)) {
        return false;
    }
    if (clock && !g_str_equal(clock, "vm")) {
        error_setg(errp, "-rtc %s: the clock goes with the guest's time, and stands when the guest does; use clock=vm, "
                   "or leave it out", arg);
        return false;
    }
    config->rtc_arg = arg;
    return !base || rtc_parse_base(base, &config->rtc_base, errp);
}

/*
 * -boot [order=]ORDER[,menu=off][,strict=on|off]: disks are what there is to boot from, CDs among them, and nothing
 * else is tried anyway.
 */
bool main_opt_boot(const char *arg, void *opaque, GError **errp)
{
    static const char *const known[] = { "order", "menu", "strict", NULL };
    g_autoptr(Options) opts = options_parse("-boot", arg, "order", errp);
    bool menu = false, strict = false;
    const char *order;

    if (!opts) {
        return false;
    }
    order = options_get(opts, "order");
    if (!options_get_bool(opts, "menu", &menu, errp) || !options_get_bool(opts, "strict", &strict, errp) ||
        !options_check_unused(opts, known, errp)) {
        return false;
    }
    if (menu || (order && !g_str_equal(order, "c") && !g_str_equal(order, "cd"))) {
        error_setg(errp, "-boot %s: disks are tried first, then CDs, without a menu; leave it out, or give order=c",
                   arg);
        return false;
    }
    return true;
}

bool boot_options_check(const MainConfig *config, GError **errp)
{
    if (!config->kernel && (config->initrd || config->append)) {
        error_setg(errp, "%s %s: only a kernel takes it; add -kernel FILE", config->initrd ? "-initrd" : "-append",
                   config->initrd ? config->initrd : config->append);
        return false;
    }
    if (config->kernel && config->bios) {
        error_setg(errp, "-bios %s: -kernel is booted without firmware; leave one of them out", config->bios);
        return false;
    }
    return true;
}
