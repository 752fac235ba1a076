/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP without its terminal: words, options, help, dispatch to QMP commands, answers, line mode, hostile input.
 */
#include <string.h>
#include <unistd.h>
#include "hmp-rig.h"
#include "hw/core/bus.h"
#include "monitor/hmp-int.h"
#include "monitor/monitor-int.h"
#include "system/memory.h"
#include "util/fd-name.h"
#include "util/fd.h"
#include "util/machine-lock.h"
#include "util/trace.h"

TraceEvent *const *const trace_event_tables[] = { NULL };

/* ---- single lines ------------------------------------------------------------------------------ */

static void keep_text(const char *text, void *opaque)
{
    char **ret = opaque;

    g_assert_null(*ret);
    *ret = g_strdup(text);
}

/* What LINE prints, with LF line ends; NULL while its command is under way. */
static const char *run(const char *line)
{
    static char *text;
    GString *plain;

    g_clear_pointer(&text, g_free);
    hmp_run_line(line, keep_text, &text);
    if (!text) {
        return NULL;
    }
    plain = g_string_new(text);
    g_string_replace(plain, "\r\n", "\n", 0);
    g_free(text);
    text = g_string_free(plain, FALSE);
    g_assert_null(strchr(text, '\r'));
    return text;
}

#define assert_runs(line, qmp) \
    do { \
        g_assert_cmpstr(run(line), ==, ""); \
        g_assert_cmpstr(rig_qmp_last(), ==, qmp); \
    } while (0)

#define assert_prints(line, text) \
    do { \
        g_assert_cmpstr(run(line), ==, text); \
        g_assert_cmpstr(rig_qmp_last(), ==, ""); \
    } while (0)

static void test_plain(void)
{
    rig_qmp_answer(NULL, NULL);
    assert_runs("stop", "stop {}");
    assert_runs("s", "stop {}");
    assert_runs("  cont  ", "cont {}");
    assert_runs("c", "cont {}");
    assert_runs("system_reset", "system_reset {}");
    assert_runs("q", "quit {}");
    assert_prints("", "");
    assert_prints(" \t ", "");
    assert_prints("foo", "unknown command: 'foo'\n");
    assert_prints("info foo", "unknown command: 'info foo'\n");
    assert_prints("sto", "unknown command: 'sto'\n");
    assert_prints("stop x", "stop: extraneous characters at the end of line\nTry \"help stop\" for more information\n");
}

static void test_words(void)
{
    rig_qmp_answer(NULL, NULL);
    assert_runs("device_del d1", "device_del {\"id\":\"d1\"}");
    assert_runs("device_del  \t d1 ", "device_del {\"id\":\"d1\"}");
    assert_runs("device_del \"a b\"", "device_del {\"id\":\"a b\"}");
    assert_runs("device_del \"a\\\"\\\\\\'b\"", "device_del {\"id\":\"a\\\"\\\\'b\"}");
    assert_runs("device_del \"\\n\\r\"", "device_del {\"id\":\"\\n\\r\"}");
    assert_runs("device_del a\\b\"c", "device_del {\"id\":\"a\\\\b\\\"c\"}");
    assert_runs("device_del \"\"", "device_del {\"id\":\"\"}");
    g_assert_nonnull(strstr(run("device_del \"a"), "device_del: unterminated string"));
    g_assert_nonnull(strstr(run("device_del \"a\\"), "device_del: unsupported escape code"));
    g_assert_nonnull(strstr(run("device_del \"\\x\""), "device_del: unsupported escape code '\\x'"));
    assert_prints("device_del", "device_del: ID expected\nTry \"help device_del\" for more information\n");
    assert_prints("device_del a b",
                  "device_del: extraneous characters at the end of line\nTry \"help device_del\" for more "
                  "information\n");
}

static void test_options(void)
{
    rig_qmp_answer(NULL, NULL);
    assert_runs("device_add scsi-hd,id=d1,drive=x",
                "device_add {\"driver\":\"scsi-hd\",\"id\":\"d1\",\"drive\":\"x\"}");
    assert_runs("device_add \"scsi-hd,serial=a b\"", "device_add {\"driver\":\"scsi-hd\",\"serial\":\"a b\"}");
    assert_runs("device_add {\"driver\": \"x\", \"a\": {\"b\": 3}}",
                "device_add {\"driver\":\"x\",\"a\":{\"b\":\"3\"}}");
    assert_runs("device_add x,a.b.c=1,a.b.d=2,a.e=3,f=,,",
                "device_add {\"driver\":\"x\",\"a\":{\"b\":{\"c\":\"1\",\"d\":\"2\"},\"e\":\"3\"},\"f\":\",\"}");
    assert_runs("device_add x,a=1,a.b=2", "device_add {\"driver\":\"x\",\"a\":{\"b\":\"2\"}}");
    assert_runs("device_add x,a.b=2,a=1", "device_add {\"driver\":\"x\",\"a\":\"1\"}");
    assert_runs("object_add memory-backend-memfd,id=m0,size=1M",
                "object-add {\"qom-type\":\"memory-backend-memfd\",\"id\":\"m0\",\"size\":\"1M\"}");
    g_assert_true(g_str_has_prefix(run("device_add x,=1"), "Error: device_add: "));
    g_assert_true(g_str_has_prefix(run("device_add {\"a\""), "Error: "));
    g_assert_true(g_str_has_prefix(run("device_add"), "device_add: DRIVER"));
}

static void test_errors(void)
{
    rig_qmp_answer(NULL, "Device 'd1' not found");
    g_assert_cmpstr(run("device_del d1"), ==, "Error: Device 'd1' not found\n");
    g_assert_cmpstr(run("info status"), ==, "Error: Device 'd1' not found\n");
    rig_qmp_answer(NULL, NULL);
    rig_qmp_last();
    assert_prints("device_del \xff", "Error: the line is no UTF-8 text; it was not run\n");
}

static void test_line_length(void)
{
    g_autofree char *id = g_strnfill(HMP_LINE_MAX, 'x');
    g_autofree char *fits = g_strdup_printf("device_del %s", id + strlen("device_del "));
    g_autofree char *over = g_strdup_printf("device_del %s", id + strlen("device_del ") - 1);

    rig_qmp_answer(NULL, NULL);
    g_assert_cmpstr(run(fits), ==, "");
    g_assert_cmpuint(strlen(rig_qmp_last()), >, HMP_LINE_MAX);
    assert_prints(over, "Error: the line is longer than 16384 bytes; it was not run\n");
}

static void test_help(void)
{
    const char *text;

    assert_prints("help stop", "stop|s  -- stop the machine\n");
    assert_prints("? q", "quit|q  -- end the program\n");
    assert_prints("help info status", "info status  -- show whether the machine runs\n");
    assert_prints("help foo", "unknown command: 'foo'\n");
    assert_prints("help info foo", "unknown command: 'info foo'\n");
    text = run("help");
    g_assert_true(strstr(text, "block_resize DEVICE SIZE") < strstr(text, "device_add DRIVER"));
    g_assert_null(strstr(text, "info status"));
    text = run("info");
    g_assert_nonnull(strstr(text, "info mtree [-f] -- "));
    g_assert_null(strstr(text, "device_add"));
    text = run("help info");
    g_assert_nonnull(strstr(text, "info mtree [-f] -- "));
}

static void test_missing(void)
{
    rig_qmp_missing("rdevice_add");
    assert_prints("rdevice_add x", "unknown command: 'rdevice_add'\n");
    assert_prints("help rdevice_add", "unknown command: 'rdevice_add'\n");
    g_assert_null(strstr(run("help"), "rdevice_add"));
    rig_qmp_missing(NULL);
    g_assert_nonnull(strstr(run("help"), "rdevice_add"));
}

/* ---- completion -------------------------------------------------------------------------------- */

static const char *completions(const char *line)
{
    static char *text;
    size_t start;
    g_autoptr(GPtrArray) words = hmp_complete(line, &start);

    g_assert_cmpuint(start, <=, strlen(line));
    g_ptr_array_add(words, NULL);
    g_free(text);
    text = g_strjoinv(" ", (char **)words->pdata);
    return text;
}

/* ---- commands and their answers ---------------------------------------------------------------- */

static void test_arguments(void)
{
    rig_qmp_answer(NULL, NULL);
    assert_runs("block_resize d 9", "block_resize {\"device\":\"d\",\"size\":9437184}");
    assert_runs("block_resize d 9K", "block_resize {\"device\":\"d\",\"size\":9216}");
    assert_prints("block_resize d x", "block_resize: invalid size\nTry \"help block_resize\" for more information\n");
    g_assert_nonnull(strstr(run("block_resize d 8E"), "invalid size"));
    assert_runs("block_resize d 7E", "block_resize {\"device\":\"d\",\"size\":8070450532247928832}");
    assert_runs("eject d", "eject {\"device\":\"d\",\"force\":false}");
    assert_runs("eject -f d", "eject {\"device\":\"d\",\"force\":true}");
    g_assert_nonnull(strstr(run("eject -f"), "expected"));
    g_assert_nonnull(strstr(run("eject a b"), "expected"));
    assert_runs("trace-event lsi_* on", "trace-event-set-state {\"name\":\"lsi_*\",\"enable\":true}");
    assert_runs("trace-event x off", "trace-event-set-state {\"name\":\"x\",\"enable\":false}");
    g_assert_nonnull(strstr(run("trace-event x maybe"), "Expected 'on' or 'off'"));
    assert_runs("qom-set /a p 3", "qom-set {\"path\":\"/a\",\"property\":\"p\",\"value\":3}");
    assert_runs("qom-set /a p true", "qom-set {\"path\":\"/a\",\"property\":\"p\",\"value\":true}");
    assert_runs("qom-set /a p 3M", "qom-set {\"path\":\"/a\",\"property\":\"p\",\"value\":\"3M\"}");
    assert_runs("closefd x", "closefd {\"fdname\":\"x\"}");
    assert_runs("getfd x", "getfd {\"fdname\":\"x\"}");
}

static void test_remote_arguments(void)
{
    rig_qmp_answer(NULL, NULL);
    assert_runs("rdevice_add 0 scsi-hd drive1 drive0 scsi0.0",
                "rdevice_add {\"rdev_id\":\"0\",\"driver\":\"scsi-hd\",\"id\":\"drive1\",\"drive\":\"drive0\","
                "\"bus\":\"scsi0.0\"}");
    assert_runs("rdevice_add 0 lsi53c895a scsi0",
                "rdevice_add {\"rdev_id\":\"0\",\"driver\":\"lsi53c895a\",\"id\":\"scsi0\"}");
    assert_runs("rdevice_add 0 x y - b", "rdevice_add {\"rdev_id\":\"0\",\"driver\":\"x\",\"id\":\"y\",\"bus\":\"b\"}");
    assert_runs("rdevice_add scsi-hd,id=d1,rid=0,drive=drive0",
                "rdevice_add {\"driver\":\"scsi-hd\",\"id\":\"d1\",\"rid\":\"0\",\"drive\":\"drive0\"}");
    g_assert_nonnull(strstr(run("rdevice_add 0 x"), "expected"));
    g_assert_nonnull(strstr(run("rdevice_add 0 a b c d e"), "extraneous"));
    g_assert_nonnull(strstr(run("rdevice_add"), "expected"));
    assert_runs("rdrive_add 0 drive0 file=/a,cache=none",
                "rdrive_add {\"file\":\"/a\",\"cache\":\"none\",\"rdev_id\":\"0\",\"id\":\"drive0\"}");
    assert_runs("rdrive_add id=drive0,file=/a,rid=0", "rdrive_add {\"id\":\"drive0\",\"file\":\"/a\",\"rid\":\"0\"}");
    g_assert_nonnull(strstr(run("rdrive_add 0 drive0"), "expected"));
    assert_runs("rdevice_del 0 d", "rdevice_del {\"rdev_id\":\"0\",\"id\":\"d\"}");
    assert_runs("rdevice_del -f 0 d", "rdevice_del {\"rdev_id\":\"0\",\"id\":\"d\",\"force\":true}");
    assert_runs("rdrive_del 0 d", "rdrive_del {\"rdev_id\":\"0\",\"id\":\"d\"}");
    assert_runs("rblock_resize 0 d 1G", "rblock_resize {\"rdev_id\":\"0\",\"device\":\"d\",\"size\":1073741824}");
    assert_runs("remote_restart 0", "remote_restart {\"rid\":\"0\"}");
}

static void test_drives(void)
{
    rig_qmp_answer(NULL, NULL);
    g_assert_cmpstr(run("drive_add 0 if=none,id=x,file.locking=off"), ==, "OK\n");
    g_assert_cmpstr(rig_qmp_last(), ==, "drive_add {\"if\":\"none\",\"id\":\"x\",\"file\":{\"locking\":\"off\"}}");
    g_assert_cmpstr(run("drive_add if=none,id=xy"), ==, "OK\n");
    g_assert_cmpstr(rig_qmp_last(), ==, "drive_add {\"if\":\"none\",\"id\":\"xy\"}");
    g_assert_true(g_str_has_prefix(run("drive_add 0 =x"), "Error: drive_add: "));
    g_assert_nonnull(strstr(run("drive_add 0"), "expected"));
    g_assert_nonnull(strstr(run("drive_add"), "expected"));
    assert_runs("drive_del x", "drive_del {\"id\":\"x\"}");
    g_assert_cmpstr(completions("drive_del d"), ==, "drive0 drive1");
    g_assert_cmpstr(completions("block_resize drive1"), ==, "drive1");
    g_assert_cmpstr(completions("block_resize drive1 d"), ==, "");
    rig_qmp_answer(NULL, "no");
    g_assert_cmpstr(run("drive_add 0 id=x"), ==, "Error: no\n");
    rig_qmp_last();
}

static void assert_answer(const char *line, const char *json, const char *text)
{
    rig_qmp_answer(json, NULL);
    g_assert_cmpstr(run(line), ==, text);
}

static void test_info(void)
{
    assert_answer("info status", "{\"running\":true,\"status\":\"running\"}", "VM status: running\n");
    assert_answer("info status", "{\"running\":false,\"status\":\"paused\"}", "VM status: paused\n");
    assert_answer("info status", "{\"running\":false,\"status\":\"prelaunch\"}", "VM status: paused (prelaunch)\n");
    assert_answer("info name", "{\"name\":\"vm\"}", "vm\n");
    assert_answer("info name", "{}", "");
    assert_answer("qom-get /a b", "\"x\"", "\"x\"\n");
    assert_answer("qom-get /a b", "true", "true\n");
    assert_answer("qom-list /", "[{\"name\":\"type\",\"type\":\"string\"}]", "type (string)\n");
    assert_answer("info trace-events lsi_reset", "[{\"name\":\"lsi_reset\",\"state\":\"enabled\"}]",
                  "lsi_reset : state 1\n");
    assert_answer("info pci",
                  "[{\"bus\":0,\"devices\":[{\"irq_pin\":1,\"bus\":0,\"qdev_id\":\"scsi0\",\"irq\":11,\"slot\":2,"
                  "\"class_info\":{\"class\":256,\"desc\":\"SCSI controller\"},\"id\":{\"device\":18,\"vendor\":4096,"
                  "\"subsystem-vendor\":0,\"subsystem\":4096},\"function\":0,\"regions\":[{\"bar\":0,\"size\":256,"
                  "\"address\":49152,\"type\":\"io\"},{\"bar\":1,\"size\":1024,\"address\":4273995776,"
                  "\"type\":\"memory\",\"prefetch\":false,\"mem_type_64\":false}]}]}]",
                  "  Bus  0, device   2, function 0:\n    SCSI controller: PCI device 1000:0012\n"
                  "      PCI subsystem 0000:1000\n      IRQ 11, pin A\n      BAR0: I/O at 0xc000 [0xc0ff].\n"
                  "      BAR1: 32 bit memory at 0xfec00000 [0xfec003ff].\n      id \"scsi0\"\n");
}

static void test_info_block(void)
{
    const char *json =
        "[{\"device\":\"x\",\"locked\":false,\"removable\":false,\"qdev\":\"d1\",\"inserted\":{\"image\":"
        "{\"virtual-size\":8388608,\"filename\":\"a.img\",\"format\":\"raw\"},\"ro\":true,\"node-name\":"
        "\"#block162\",\"drv\":\"raw\",\"cache\":{\"no-flush\":false,\"direct\":false,\"writeback\":true},"
        "\"file\":\"a.img\"},\"type\":\"unknown\"},"
        "{\"device\":\"cd\",\"locked\":false,\"removable\":true,\"tray_open\":false,\"type\":\"unknown\"}]";

    assert_answer("info block", json,
                  "x (#block162): a.img (raw, read-only)\n    Attached to:      d1\n    Cache mode:       writeback\n"
                  "\ncd: [not inserted]\n    Removable device: not locked, tray closed\n");
    assert_answer("info block -v d1", json,
                  "x (#block162): a.img (raw, read-only)\n    Attached to:      d1\n    Cache mode:       writeback\n"
                  "\nImages:\nimage: a.img\nfile format: raw\nvirtual size: 8 MiB (8388608 bytes)\n");
    assert_answer("info block zz", json, "Error: Device 'zz' not found\n");
    g_assert_nonnull(strstr(run("info block -x"), "expected"));
    g_assert_nonnull(strstr(run("info block a b"), "expected"));
    assert_answer("info blockstats", "[{\"device\":\"x\",\"stats\":{\"rd_bytes\":512,\"wr_bytes\":0}}]",
                  "x: rd_bytes=512 wr_bytes=0\n");
}

static void test_info_remote(void)
{
    const char *json =
        "[{\"id\":\"0\",\"pid\":77,\"process\":\"qemu-remote: vm/0\","
        "\"state\":\"ready\",\"sandbox\":\"off\",\"on-death\":\"detach\","
        "\"devices\":[{\"id\":\"scsi0\",\"driver\":\"lsi53c895a\",\"controller\":true,\"link\":{\"state\":\"ready\","
        "\"messages\":5,\"bytes\":80,\"timeouts\":0,\"worst-wait-ns\":12000,\"failed\":0,\"dropped-reads\":1,"
        "\"dropped-writes\":2,\"interrupts\":3,\"reattached\":4}},"
        "{\"id\":\"d1\",\"driver\":\"scsi-hd\",\"controller\":false}],"
        "\"drives\":[{\"id\":\"drive0\"}],\"restarts\":4,\"control\":{\"received\":10,\"sent\":20}}]";

    assert_answer("remote_proc_list", json,
                  "PID        RID              QEMU ID              PROCESS NAME\n"
                  "77         0                scsi0                qemu-remote: vm/0\n"
                  "77         0                d1                   qemu-remote: vm/0\n"
                  "77         0                drive0               qemu-remote: vm/0\n");
    assert_answer("info remote", json,
                  "0: ready\n  pid 77, process qemu-remote: vm/0\n"
                  "  sandbox off, on-death detach, 4 restarts, control channel 10 bytes in, 20 out\n"
                  "  device scsi0 (lsi53c895a), controller\n"
                  "    link ready: 5 messages, 80 bytes, worst wait 12 us, 0 time-outs, 0 failed\n"
                  "    dropped: 1 reads, 2 writes; 3 interrupts; reattached 4 times\n"
                  "  device d1 (scsi-hd)\n  drive drive0\n");
    assert_answer("info remote", "[]", "No remote processes\n");
    /* The reason may be the remote's words. */
    rig_qmp_answer("[{\"id\":\"0\",\"state\":\"dead\",\"reason\":\"\\u001b[2J\\r\\u0007x\\u007f\"}]", NULL);
    g_assert_true(g_str_has_prefix(run("info remote"), "0: dead: ?[2J??x?\n"));
}

static void assert_size(uint64_t size, const char *text)
{
    g_autofree char *got = hmp_size_text(size);

    g_assert_cmpstr(got, ==, text);
}

static void test_sizes(void)
{
    assert_size(0, "0 B");
    assert_size(999, "999 B");
    assert_size(1000, "0.977 KiB");
    assert_size(1536, "1.5 KiB");
    assert_size(8388608, "8 MiB");
    assert_size(UINT64_MAX, "16 EiB");
}

/* Answers of the wrong shape print something and break nothing. */
static void test_odd_answers(void)
{
    static const char *const answers[] = { "3", "\"x\"", "[3]", "[[]]", "[{}]", "{}", "null", "[{\"devices\":3}]" };
    static const char *const lines[] = {
        "info status", "info name", "info version", "info pci", "info block -v", "info blockstats", "info remote",
        "info fdsets", "remote_proc_list", "qom-list /", "qom-get / x", "info trace-events", "stop",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(answers); i++) {
        rig_qmp_answer(answers[i], NULL);
        for (unsigned j = 0; j < G_N_ELEMENTS(lines); j++) {
            g_assert_nonnull(run(lines[j]));
        }
    }
    rig_qmp_last();
}

static void test_deferred_line(void)
{
    char *text = NULL;

    rig_qmp_answer(NULL, "late");
    rig_qmp_defer(true);
    hmp_run_line("device_del x", keep_text, &text);
    g_assert_null(text);
    rig_qmp_finish();
    g_assert_cmpstr(text, ==, "Error: late\r\n");
    rig_qmp_defer(false);
    g_free(text);
    rig_qmp_last();
}

/* ---- trees ------------------------------------------------------------------------------------- */

static void test_mtree(void)
{
    MemoryRegion part;
    MemoryRegion alias;
    MemoryRegion outside;

    memory_region_init(&part, NULL, "part", 0x1000);
    memory_region_init(&outside, NULL, "outside", 0x2000);
    memory_region_init_alias(&alias, NULL, "window", &outside, 0x100, 0x10);
    memory_region_add(address_space_root(system_io()), 0x8000, &part, 3);
    memory_region_add(&part, 0x20, &alias, 0);
    g_assert_cmpstr(run("info mtree"), ==,
                    "address-space: I/O\n"
                    "  0000000000000000-000000000000ffff (prio 0, i/o): io\n"
                    "    0000000000008000-0000000000008fff (prio 3, i/o): part\n"
                    "      0000000000008020-000000000000802f (prio 0, i/o): alias window @outside "
                    "0000000000000100-000000000000010f\n\n"
                    "memory-region: outside\n"
                    "  0000000000000000-0000000000001fff (prio 0, i/o): outside\n\n");
    memory_region_set_enabled(&part, false);
    g_assert_nonnull(strstr(run("info mtree"), "part [disabled]\n"));
    g_assert_cmpstr(run("info mtree -f"), ==,
                    "FlatView #0\n AS \"I/O\", root: io\n Root memory region: io\n  No rendered FlatView\n\n");
    g_assert_nonnull(strstr(run("info mtree -x"), "-x"));
    memory_region_destroy(&alias);
    memory_region_destroy(&outside);
    memory_region_destroy(&part);
}

static void test_qom_tree(void)
{

    g_assert_cmpstr(run("info qom-tree"), ==, "/machine (container)\n  /peripheral (container)\n");
    g_assert_cmpstr(run("info qom-tree /machine/peripheral"), ==, "/machine/peripheral (container)\n");
    g_assert_cmpstr(run("info qom-tree /nope"), ==, "Error: Device '/nope' not found\n");
    g_assert_cmpstr(run("info qtree"), ==, "bus: main-system-bus\n  type System\n");
}

static void test_completion(void)
{
    g_assert_cmpstr(completions("block_"), ==, "block_resize");
    g_assert_cmpstr(completions("device_"), ==, "device_add device_del");
    g_assert_cmpstr(completions("inf"), ==, "info");
    g_assert_cmpstr(completions("info st"), ==, "status");
    g_assert_cmpstr(completions("  info   qo"), ==, "qom-tree");
    g_assert_cmpstr(completions("help sto"), ==, "stop");
    g_assert_cmpstr(completions("help info st"), ==, "status");
    g_assert_cmpstr(completions("qom-list "), ==, "/");
    g_assert_cmpstr(completions("qom-list /ma"), ==, "/machine/");
    g_assert_cmpstr(completions("qom-list /machine/"), ==, "/machine/peripheral");
    g_assert_cmpstr(completions("qom-list /nope/"), ==, "");
    g_assert_cmpstr(completions("trace-event x o"), ==, "off on");
    g_assert_cmpstr(completions("stop x"), ==, "");
    g_assert_cmpstr(completions("foo x"), ==, "");
    g_assert_cmpstr(completions("info foo x"), ==, "");
    g_assert_nonnull(strstr(completions(""), "system_reset"));
}

/* ---- line mode --------------------------------------------------------------------------------- */

#define TYPE(stream, text) rig_stream_type(stream, text, sizeof(text) - 1)

static void begin(MonitorStream *stream)
{
    rig_stream_init(stream);
    rig_qmp_answer(NULL, NULL);
    hmp_session_open(stream);
    g_assert_cmpstr(rig_stream_output(stream), ==,
                    "mpqemu " MPQEMU_VERSION " monitor - type 'help' for more information\r\n(qemu) ");
}

static void end(MonitorStream *stream)
{
    if (!stream->freed) {
        stream->ops->closed(stream->session, false);
    }
    g_assert_true(stream->freed);
    rig_turn();
    rig_stream_clear(stream);
    rig_qmp_last();
}

static void test_stream_lines(void)
{
    static const char *const ends[] = { "stop\n", "stop\r\n", "stop\r", "st\0op\n", "stx\bop\n", "foo\x03stop\n",
                                        "foo\x15stop\n", "\x1b[Astop\n", "\x1bOPstop\n", "\x1b[1;5Dstop\n",
                                        "\xff\xfb\x01stop\n",
                                        "\xff\xfa\x18\x00xyz\xff\xf0stop\n", "\xff\xf1stop\n", "\x1bxstop\n",
                                        "\x1b[12\nstop\n", "a\xc3\xa4\x7f\x7fstop\n" };
    static const size_t lens[] = { 5, 6, 5, 6, 7, 9, 9, 8, 8, 11, 8, 14, 7, 7, 10, 10 };
    MonitorStream stream;

    begin(&stream);
    for (unsigned i = 0; i < G_N_ELEMENTS(ends); i++) {
        const char *prompts = i == 14 ? "(qemu) (qemu) " : "(qemu) ";

        rig_stream_type(&stream, ends[i], lens[i]);
        g_assert_cmpstr(rig_qmp_last(), ==, "stop {}");
        g_assert_cmpstr(rig_stream_output(&stream), ==, prompts);
    }
    TYPE(&stream, "fo");
    TYPE(&stream, "o\n");
    g_assert_cmpstr(rig_stream_output(&stream), ==, "unknown command: 'foo'\r\n(qemu) ");
    TYPE(&stream, "\n");
    g_assert_cmpstr(rig_stream_output(&stream), ==, "(qemu) ");
    TYPE(&stream, "info history\n");
    g_assert_cmpstr(rig_stream_output(&stream), ==, "Error: only a monitor on a terminal keeps a history\r\n(qemu) ");
    end(&stream);
}

static void test_stream_deferred(void)
{
    MonitorStream stream;

    begin(&stream);
    rig_qmp_defer(true);
    TYPE(&stream, "stop\ncont\n");
    g_assert_cmpstr(rig_qmp_last(), ==, "stop {}");
    g_assert_cmpstr(rig_stream_output(&stream), ==, "");
    g_assert_true(stream.paused);
    rig_qmp_finish();
    rig_turn();
    g_assert_cmpstr(rig_qmp_last(), ==, "cont {}");
    g_assert_cmpstr(rig_stream_output(&stream), ==, "(qemu) ");
    rig_qmp_finish();
    rig_turn();
    g_assert_cmpstr(rig_stream_output(&stream), ==, "(qemu) ");
    g_assert_false(stream.paused);
    rig_qmp_defer(false);
    end(&stream);
}

static void test_stream_vanishes(void)
{
    MonitorStream stream;

    begin(&stream);
    rig_qmp_defer(true);
    TYPE(&stream, "stop\ncont\n");
    stream.ops->closed(stream.session, false);
    g_assert_true(stream.freed);
    rig_qmp_last();
    rig_qmp_finish();
    rig_turn();
    g_assert_cmpstr(rig_qmp_last(), ==, "");
    rig_qmp_defer(false);
    end(&stream);
}

static void test_stream_half_closed(void)
{
    MonitorStream stream;

    begin(&stream);
    rig_qmp_defer(true);
    TYPE(&stream, "stop\ncont\nqui");
    stream.ops->closed(stream.session, true);
    rig_turn();
    g_assert_false(stream.freed);
    rig_qmp_finish();
    rig_turn();
    rig_qmp_finish();
    rig_turn();
    g_assert_true(stream.finished);
    g_assert_cmpstr(rig_qmp_last(), ==, "cont {}");
    rig_qmp_defer(false);
    end(&stream);
}

static void test_stream_not_read(void)
{
    MonitorStream stream;

    begin(&stream);
    stream.unsent = MONITOR_OUTPUT_HIGH;
    TYPE(&stream, "stop\n");
    g_assert_cmpstr(rig_qmp_last(), ==, "");
    g_assert_true(stream.paused);
    stream.unsent = MONITOR_OUTPUT_HIGH - 1;
    stream.ops->drained(stream.session);
    rig_turn();
    g_assert_cmpstr(rig_qmp_last(), ==, "stop {}");
    g_assert_false(stream.paused);
    end(&stream);
}

static void test_stream_flood(void)
{
    g_autofree char *much = g_strnfill(4 * 1024 * 1024, 'x');
    g_autofree char *fits = g_strnfill(HMP_LINE_MAX, ' ');
    MonitorStream stream;

    begin(&stream);
    rig_stream_type(&stream, much, strlen(much));
    g_assert_cmpstr(rig_stream_output(&stream), ==, "");
    TYPE(&stream, "\n");
    g_assert_cmpstr(rig_stream_output(&stream), ==,
                    "Error: the line is longer than 16384 bytes; it was not run\r\n(qemu) ");
    memcpy(fits, "stop", 4);
    rig_stream_type(&stream, fits, HMP_LINE_MAX);
    TYPE(&stream, "\n");
    g_assert_cmpstr(rig_qmp_last(), ==, "stop {}");
    memset(much, '\n', 100000);
    rig_stream_type(&stream, much, 100000);
    g_assert_cmpuint(strlen(rig_stream_output(&stream)), ==, 100001 * strlen(HMP_PROMPT));
    memset(much, '\xff', 100000);
    rig_stream_type(&stream, much, 100000);
    end(&stream);
}

static void test_stream_random(void)
{
    MonitorStream stream;
    char bytes[MONITOR_CHUNK];

    begin(&stream);
    for (unsigned i = 0; i < 500; i++) {
        for (unsigned j = 0; j < sizeof(bytes); j++) {
            bytes[j] = (char)g_test_rand_int_range(0, 256);
        }
        rig_stream_type(&stream, bytes, sizeof(bytes));
        rig_stream_output(&stream);
    }
    end(&stream);
}

static void test_stream_getfd(void)
{
    MonitorStream stream;
    int pair[2];
    int fd;

    begin(&stream);
    g_assert_cmpint(pipe(pair), ==, 0);
    stream.fds[0] = pair[0];
    stream.fds[1] = pair[1];
    stream.fd_count = 2;
    TYPE(&stream, "getfd a\n");
    g_assert_cmpstr(rig_stream_output(&stream), ==, "(qemu) ");
    g_assert_cmpstr(rig_qmp_last(), ==, "");
    fd = fd_name_or_number_take("fd", "a", NULL);
    g_assert_cmpint(fd, ==, pair[0]);
    close(fd);
    TYPE(&stream, "getfd 1\n"); /* no name: the descriptor is closed */
    g_assert_true(g_str_has_prefix(rig_stream_output(&stream), "Error: "));
    g_assert_cmpint(fd_kind(pair[1]), ==, FD_KIND_INVALID);
    TYPE(&stream, "getfd b\n");
    g_assert_cmpstr(rig_qmp_last(), ==, "getfd {\"fdname\":\"b\"}");
    end(&stream);
}

static void test_stream_stop(void)
{
    MonitorStream streams[2];

    begin(&streams[0]);
    begin(&streams[1]);
    rig_qmp_defer(true);
    TYPE(&streams[0], "stop\n");
    hmp_sessions_stop();
    g_assert_true(streams[0].freed && streams[1].freed);
    rig_qmp_finish();
    rig_qmp_defer(false);
    end(&streams[0]);
    end(&streams[1]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
    trace_init(trace_event_tables);
    system_io();
    qom_container("/machine/peripheral");
    hmp_commands_init();
    g_test_add_func("/hmp/line/plain-commands", test_plain);
    g_test_add_func("/hmp/line/words", test_words);
    g_test_add_func("/hmp/line/options-become-json", test_options);
    g_test_add_func("/hmp/line/errors-are-told", test_errors);
    g_test_add_func("/hmp/line/length-is-bounded", test_line_length);
    g_test_add_func("/hmp/line/help", test_help);
    g_test_add_func("/hmp/line/missing-qmp-command-hides-the-row", test_missing);
    g_test_add_func("/hmp/line/deferred-command", test_deferred_line);
    g_test_add_func("/hmp/commands/arguments", test_arguments);
    g_test_add_func("/hmp/commands/remote-arguments", test_remote_arguments);
    g_test_add_func("/hmp/commands/sizes-for-people", test_sizes);
    g_test_add_func("/hmp/commands/drives", test_drives);
    g_test_add_func("/hmp/commands/info", test_info);
    g_test_add_func("/hmp/commands/info-block", test_info_block);
    g_test_add_func("/hmp/commands/info-remote", test_info_remote);
    g_test_add_func("/hmp/commands/odd-answers", test_odd_answers);
    g_test_add_func("/hmp/commands/mtree", test_mtree);
    g_test_add_func("/hmp/commands/qom-tree", test_qom_tree);
    g_test_add_func("/hmp/completion", test_completion);
    g_test_add_func("/hmp/stream/lines", test_stream_lines);
    g_test_add_func("/hmp/stream/deferred-command-holds-the-prompt", test_stream_deferred);
    g_test_add_func("/hmp/stream/client-vanishes-under-a-command", test_stream_vanishes);
    g_test_add_func("/hmp/stream/half-closed-client-gets-its-answers", test_stream_half_closed);
    g_test_add_func("/hmp/stream/no-command-while-nobody-reads", test_stream_not_read);
    g_test_add_func("/hmp/stream/flood", test_stream_flood);
    g_test_add_func("/hmp/stream/random-bytes", test_stream_random);
    g_test_add_func("/hmp/stream/getfd-takes-descriptors", test_stream_getfd);
    g_test_add_func("/hmp/stream/end-of-the-program", test_stream_stop);
    return g_test_run();
}
