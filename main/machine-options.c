/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -machine, -accel, -cpu, -smp, -m, -numa.
 *
 * Runs in: mpqemu.
 */
#include "machine-options.h"

#include <unistd.h>
#include "accel/accel.h"
#include "machine.h"
#include "util/error.h"
#include "util/log.h"

/* A guest with 40 address bits has no room for more. */
#define RAM_SIZE_MAX (1ull << 39)

/* Adds the accelerators of NAMES, "A[:B...]". */
static bool add_accels(MainConfig *config, const char *option, const char *names, GError **errp)
{
    g_auto(GStrv) words = g_strsplit(names, ":", -1);

    for (unsigned i = 0; words[i]; i++) {
        if (g_str_equal(words[i], "tcg")) {
            error_setg(errp, "%s %s: there is no tcg in this program; its own engine is emu", option, names);
            return false;
        }
        if (!accel_exists(words[i])) {
            error_setg(errp, "%s %s: there is no accelerator '%s'; -accel help lists them", option, names, words[i]);
            return false;
        }
        g_ptr_array_add(config->accels, g_strdup(words[i]));
    }
    return true;
}

bool main_opt_accel(const char *arg, void *opaque, GError **errp)
{
    static const char *const known[] = { "accel", NULL };
    MainConfig *config = opaque;
    g_autoptr(Options) opts = NULL;
    const char *names;

    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        accel_print();
        config->monitor.start.only_help = true;
        return true;
    }
    opts = options_parse("-accel", arg, "accel", errp);
    if (!opts) {
        return false;
    }
    names = options_get(opts, "accel");
    if (!options_check_unused(opts, known, errp)) {
        return false;
    }
    if (!names) {
        error_setg(errp, "-accel %s: the accelerator is missing; -accel help lists them", arg);
        return false;
    }
    return add_accels(config, "-accel", names, errp);
}

bool main_opt_cpu(const char *arg, void *opaque, GError **errp)
{
    MainConfig *config = opaque;

    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        for (unsigned i = 0; accels[i]; i++) {
            if (accels[i]->cpu_print) {
                accels[i]->cpu_print();
            }
        }
        config->monitor.start.only_help = true;
        return true;
    }
    config->cpu_model = arg;
    return true;
}

/* What is left out of T (0) is what is missing to CPUS: cores rather than sockets, threads only when both are given. */
static void complete_topology(VcpuTopology *t, unsigned cpus)
{
    unsigned *missing = t->cores == 0 ? &t->cores : t->sockets == 0 ? &t->sockets : &t->threads;

    if (t->cores == 0) {
        t->sockets = MAX(t->sockets, 1);
    }
    if (missing != &t->threads) {
        t->threads = MAX(t->threads, 1);
    }
    if (*missing == 0) {
        *missing = 1;
        *missing = cpus / vcpu_topology_count(t);
    }
}

/* -smp [cpus=]N[,maxcpus=N][,sockets=S][,cores=C][,threads=T]; N that is left out is the product of the others. */
bool main_opt_smp(const char *arg, void *opaque, GError **errp)
{
    static const char *const known[] = { "cpus", "maxcpus", "sockets", "cores", "threads", NULL };
    MainConfig *config = opaque;
    g_autoptr(Options) opts = options_parse("-smp", arg, "cpus", errp);
    VcpuTopology topology = { 0 };
    unsigned *const parts[] = { &topology.sockets, &topology.cores, &topology.threads };
    uint64_t cpus = 0, maxcpus = 0, product = 1;

    if (!opts || !options_get_uint(opts, "cpus", UINT32_MAX, &cpus, errp) ||
        !options_get_uint(opts, "maxcpus", UINT32_MAX, &maxcpus, errp)) {
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        uint64_t part = 1;

        if (!options_get_uint(opts, known[i + 2], VCPUS_MAX, &part, errp)) {
            return false;
        }
        product *= part;
        *parts[i] = options_has(opts, known[i + 2]) ? (unsigned)part : 0;
    }
    if (!options_check_unused(opts, known, errp)) {
        return false;
    }
    if (!options_has(opts, "cpus")) {
        cpus = product;
    }
    if (cpus < 1 || cpus > VCPUS_MAX) {
        error_setg(errp, "-smp %s: there can be 1 to %u processors", arg, VCPUS_MAX);
        return false;
    }
    if (product != 0) {
        complete_topology(&topology, (unsigned)cpus);
    }
    if (product == 0 || vcpu_topology_count(&topology) != cpus) {
        error_setg(errp, "-smp %s: sockets, cores and threads do not make %" G_GUINT64_FORMAT " processors; leave them "
                   "out", arg, cpus);
        return false;
    }
    if (!vcpu_topology_is_dense(&topology)) {
        error_setg(errp, "-smp %s: several sockets or cores of three processors each would leave gaps between APIC "
                   "IDs, which this version cannot have", arg);
        return false;
    }
    if (options_has(opts, "maxcpus") && maxcpus != cpus) {
        error_setg(errp, "-smp %s: processors cannot be added later in this version; leave maxcpus= out", arg);
        return false;
    }
    config->cpus = topology;
    return true;
}

/* Keeps KEY of OPTS, when it is there: a later -machine replaces only what it says. */
static void machine_keep(MainConfig *config, Options *opts, const char *key, const char **ret)
{
    const char *value = options_get(opts, key);

    if (value) {
        options_set(config->machine_opts, key, value);
        *ret = options_get(config->machine_opts, key);
    }
}

bool main_opt_machine(const char *arg, void *opaque, GError **errp)
{
    static const char *const known[] = { "type", "memory-backend", "accel", NULL };
    MainConfig *config = opaque;
    g_autoptr(Options) opts = NULL;
    const char *accel;

    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        machine_print_types();
        config->monitor.start.only_help = true;
        return true;
    }
    opts = options_parse("-machine", arg, "type", errp);
    if (!opts) {
        return false;
    }
    machine_keep(config, opts, "type", &config->machine);
    machine_keep(config, opts, "memory-backend", &config->memory_backend);
    accel = options_get(opts, "accel");
    if (!machine_type_exists(config->machine)) {
        error_setg(errp, "-machine %s: unsupported machine type '%s'; -machine help lists them",
                   arg, config->machine);
        return false;
    }
    return options_check_unused(opts, known, errp) &&
           (!accel || add_accels(config, "-machine accel", accel, errp));
}

/* -m [size=]SIZE: megabytes without a suffix. */
bool main_opt_memory(const char *arg, void *opaque, GError **errp)
{
    static const char *const known[] = { "size", NULL };
    MainConfig *config = opaque;
    g_autoptr(Options) opts = options_parse("-m", arg, "size", errp);
    const char *text;

    if (!opts) {
        return false;
    }
    if (options_has(opts, "slots") || options_has(opts, "maxmem")) {
        error_setg(errp, "-m %s: memory cannot be added at run time in this version; leave slots= "
                   "and maxmem= out", arg);
        return false;
    }
    text = options_get(opts, "size");
    if (!text || !options_check_unused(opts, known, errp)) {
        if (!text) {
            error_setg(errp, "-m %s: the size is missing; give -m SIZE", arg);
        }
        return false;
    }
    if (!parse_size(text, 'M', &config->ram_size) || config->ram_size == 0 ||
        config->ram_size > RAM_SIZE_MAX || config->ram_size % (uint64_t)sysconf(_SC_PAGESIZE)) {
        error_setg(errp, "-m %s: '%s' is no size; give megabytes (256), or a number with a suffix "
                   "(256M, 1G), in whole pages, at most 512G", arg, text);
        return false;
    }
    return true;
}

/*
 * -numa node,memdev=ID[,nodeid=N]: all a machine without CPUs has to do with nodes is their RAM,
 * which lies in memory in the order of the nodes.
 */
bool main_opt_numa(const char *arg, void *opaque, GError **errp)
{
    static const char *const known[] = { "type", "memdev", "nodeid", NULL };
    MainConfig *config = opaque;
    g_autoptr(Options) opts = options_parse("-numa", arg, "type", errp);
    const char *type, *memdev;
    uint64_t node = config->numa_memdevs->len;

    if (!opts || !options_get_uint(opts, "nodeid", UINT64_MAX, &node, errp)) {
        return false;
    }
    type = options_get(opts, "type");
    memdev = options_get(opts, "memdev");
    if (g_strcmp0(type, "node") != 0 || !memdev) {
        error_setg(errp, "-numa %s: not supported; give -numa node,memdev=ID with the id of a "
                   "memory backend", arg);
        return false;
    }
    if (!options_check_unused(opts, known, errp)) {
        return false;
    }
    if (node != config->numa_memdevs->len) {
        error_setg(errp, "-numa %s: this is the node with nodeid=%u; give the nodes in order", arg,
                   config->numa_memdevs->len);
        return false;
    }
    g_ptr_array_add(config->numa_memdevs, g_strdup(memdev));
    return true;
}

bool machine_options_complete(MainConfig *config, GError **errp)
{
    if (config->accels->len == 0 && config->qtest) {
        g_ptr_array_add(config->accels, g_strdup("qtest"));
    }
    for (unsigned i = 0; config->qtest && i < config->accels->len; i++) {
        if (!g_str_equal(config->accels->pdata[i], "qtest")) {
            error_setg(errp, "-qtest: a test program cannot play the CPU beside -accel %s; leave that out",
                       (const char *)config->accels->pdata[i]);
            return false;
        }
    }
    if (config->accels->len == 0) {
        for (unsigned i = 0; accels[i]; i++) {
            if (!g_str_equal(accels[i]->name, "qtest")) {
                g_ptr_array_add(config->accels, g_strdup(accels[i]->name));
            }
        }
    }
    g_ptr_array_add(config->accels, NULL);
    return true;
}

void machine_options_warn(const MainConfig *config)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    uint64_t host = pages > 0 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) : UINT64_MAX;

    if (config->ram_size > host) {
        log_warn("-m: %" G_GUINT64_FORMAT " MiB are more than this host's %" G_GUINT64_FORMAT "; give less, or the "
                 "host's kernel may end the program when the guest uses them", config->ram_size >> 20, host >> 20);
    }
}
