/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of util/options.c, util/options-parse.c and util/parse.c.
 *
 * Runs in: neither program.
 */
#include <string.h>
#include "util/error.h"
#include "util/options.h"

/* All pairs as "key=value;key=value;". */
static bool append_pair(const char *key, const char *value, void *opaque, GError **errp)
{
    g_string_append_printf(opaque, "%s=%s;", key, value);
    return true;
}

static char *dump(Options *opts)
{
    GString *text = g_string_new(NULL);

    g_assert_true(options_foreach(opts, append_pair, text, NULL));
    return g_string_free(text, FALSE);
}

static Options *parse_ok(const char *text, const char *implied_key)
{
    g_autoptr(GError) err = NULL;
    Options *opts = options_parse("-device", text, implied_key, &err);

    g_assert_no_error(err);
    g_assert_nonnull(opts);
    return opts;
}

static void expect_error(GError *err, const char *const *parts)
{
    g_assert_error(err, MPQEMU_ERROR, ERROR_CLASS_GENERIC);
    for (; *parts; parts++) {
        if (!strstr(err->message, *parts)) {
            g_error("'%s' not in '%s'", *parts, err->message);
        }
    }
}

#define EXPECT_ERROR(err, ...) \
    do { \
        expect_error(err, (const char *const[]) { __VA_ARGS__, NULL }); \
        g_clear_error(&(err)); \
    } while (0)

/* ---- syntaxes ------------------------------------------------------------------------------- */

static const struct {
    const char *text, *implied_key, *pairs;
} good_texts[] = {
    { "", "driver", "" },
    { "", NULL, "" },
    { "lsi53c895a", "driver", "driver=lsi53c895a;" },
    { "lsi53c895a,id=x,addr=04.0", "driver", "driver=lsi53c895a;id=x;addr=04.0;" },
    { "driver=lsi53c895a,id=x", "driver", "driver=lsi53c895a;id=x;" },
    { "id=x,lsi", "driver", "id=x;lsi=on;" },
    /* Commas, doubled in all places a value can stand. */
    { "a=1,,2,b=,,,c=x,,", NULL, "a=1,2;b=,;c=x,;" },
    { "a,,b,c=d", "file", "file=a,b;c=d;" },
    { "a,,b=c,d=e", "file", "file=a,b=c;d=e;" },
    { "a=b,", NULL, "a=b;" },
    { "a=,b=", NULL, "a=;b=;" },
    { "a==b=c", NULL, "a==b=c;" },
    /* Switches. */
    { "readonly,nocache,no", NULL, "readonly=on;cache=off;no=on;" },
    { "x,readonly,nocache", "file", "file=x;readonly=on;cache=off;" },
    /* A repeated key replaces and keeps its place. */
    { "a=1,b=2,a=3", NULL, "a=3;b=2;" },
    { "x,file=y", "file", "file=y;" },
    { "file.filename=/x y,file.locking=off", NULL, "file.filename=/x y;file.locking=off;" },
    /* JSON. */
    { "{}", NULL, "" },
    { "{\"a\": \"x,=y\", \"b\": 7, \"c\": true, \"d\": false}", "driver",
      "a=x,=y;b=7;c=on;d=off;" },
    { "{\"file\": {\"driver\": \"file\", \"deep\": {\"x\": -1}}, \"n\": 1.5}", NULL,
      "file.driver=file;file.deep.x=-1;n=1.5;" },
    { "{\"inject-error\": [{\"event\": \"read_aio\", \"errno\": 5}, {\"once\": true}],"
      " \"l\": [1, []]}", NULL,
      "inject-error.0.event=read_aio;inject-error.0.errno=5;inject-error.1.once=on;l.0=1;" },
    { "{\"file.filename\": \"a[{\\\"b\"}", NULL, "file.filename=a[{\"b;" },
    { "{\"a\": 9223372036854775807, \"b\": -9223372036854775808}", NULL,
      "a=9223372036854775807;b=-9223372036854775808;" },
};

static void test_parse_good(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(good_texts); i++) {
        g_autoptr(Options) opts = parse_ok(good_texts[i].text, good_texts[i].implied_key);
        g_autofree char *pairs = dump(opts);

        g_assert_cmpstr(pairs, ==, good_texts[i].pairs);
        g_assert_cmpstr(options_name(opts), ==, "-device");
    }
}

static const struct {
    const char *text, *part;
} bad_texts[] = {
    { "=x", "empty parameter name" },
    { ",a=b", "empty parameter name" },
    { "a=b,=c", "empty parameter name" },
    { "a b=c", "'a b' is not a parameter name" },
    { "a=b,c d", "'c d' is not a parameter name" },
    { "a=b,x/y=1", "'x/y' is not a parameter name" },
    { "\xc3\xa4=1", "is not a parameter name" },
    { "{", "not valid JSON" },
    { "{\"a\": }", "not valid JSON" },
    { "{\"a\": 1} x", "text follows the JSON object: 'x'" },
    { "{}{}", "text follows the JSON object: '{}'" },
    { "{\"a\": 1}, {\"b\": 2}", "text follows the JSON object" },
    { "{\"a\": /* \" */ 1}", "not valid JSON at '/*" },
    { "{'a': 1}", "not valid JSON at ''a'" },
    { "{\"a\": \"x}", "not valid JSON" },
    { "{\"a\": \"\\", "not valid JSON" },
    { "{\"a\": [1}]", "not valid JSON" },
    { "{\"a\": null}", "'a' is null" },
    { "{\"b\": {\"a\": [null]}}", "'b.a.0' is null" },
    { "{\"\": 1}", "empty parameter name" },
    { "{\"a\": {\"\": 1}}", "empty parameter name" },
    { "{\"a b\": 1}", "'a b' is not a parameter name" },
};

static void test_parse_bad(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_texts); i++) {
        g_autoptr(GError) err = NULL;

        g_assert_null(options_parse("-blockdev", bad_texts[i].text, NULL, &err));
        g_assert_nonnull(err);
        EXPECT_ERROR(err, "-blockdev: ", bad_texts[i].part, "; ");
        g_assert_null(options_parse("-blockdev", bad_texts[i].text, NULL, NULL));
    }
}

/* {"a": [[[...1...]]]} with DEPTH levels in all. */
static char *nested_json(unsigned depth)
{
    GString *text = g_string_new("{\"a\": ");

    for (unsigned i = 1; i < depth; i++) {
        g_string_append_c(text, '[');
    }
    g_string_append_c(text, '1');
    for (unsigned i = 1; i < depth; i++) {
        g_string_append_c(text, ']');
    }
    g_string_append_c(text, '}');
    return g_string_free(text, FALSE);
}

static void test_json_depth(void)
{
    g_autofree char *deepest = nested_json(64);
    g_autofree char *deeper = nested_json(65);
    g_autofree char *huge = nested_json(1000000);
    g_autoptr(Options) opts = parse_ok(deepest, NULL);
    g_autoptr(GError) err = NULL;

    g_assert_nonnull(opts);
    g_assert_null(options_parse("-drive", deeper, NULL, &err));
    EXPECT_ERROR(err, "deeper than 64");
    g_assert_null(options_parse("-drive", huge, NULL, &err));
    EXPECT_ERROR(err, "deeper than 64");
}

static void test_key_length(void)
{
    g_autofree char *key = g_strnfill(255, 'k');
    g_autofree char *longest = g_strconcat(key, "=1", NULL);
    g_autofree char *longer = g_strconcat("k", longest, NULL);
    g_autoptr(Options) opts = parse_ok(longest, NULL);
    g_autoptr(GError) err = NULL;

    g_assert_cmpstr(options_get(opts, key), ==, "1");
    g_assert_null(options_parse("-drive", longer, NULL, &err));
    EXPECT_ERROR(err, "longer than 255");
}

/* A number that int64_t cannot hold is refused where it is read, never taken for another one. */
static void test_json_big_number(void)
{
    static const char *const numbers[] = {
        "18446744073709551615", "18446744073709551617", "340282366920938463463374607431768211457",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_autofree char *text = g_strdup_printf("{\"n\": %s}", numbers[i]);
        g_autoptr(Options) opts = options_parse("-drive", text, NULL, NULL);
        uint64_t value = 42;

        if (opts) {
            g_assert_false(options_get_uint(opts, "n", UINT64_MAX, &value, NULL));
            g_assert_cmpuint(value, ==, 42);
        }
    }
}

/* ---- access --------------------------------------------------------------------------------- */

static void test_set_get(void)
{
    g_autoptr(Options) opts = options_new("-drive");

    g_assert_null(options_get(opts, "a"));
    g_assert_false(options_has(opts, "a"));
    options_set(opts, "a", "1");
    g_assert_true(options_has(opts, "a"));
    g_assert_cmpstr(options_get(opts, "a"), ==, "1");
    options_set(opts, "a", options_get(opts, "a"));
    g_assert_cmpstr(options_get(opts, "a"), ==, "1");
    options_set(opts, "a", "2");
    g_assert_cmpstr(options_get(opts, "a"), ==, "2");
    options_free(NULL);
}

static void test_get_bool(void)
{
    g_autoptr(Options) opts = parse_ok("a=on,b=off,c=maybe,d=", NULL);
    g_autoptr(GError) err = NULL;
    bool value = false;

    g_assert_true(options_get_bool(opts, "a", &value, &err));
    g_assert_true(value);
    g_assert_true(options_get_bool(opts, "missing", &value, &err));
    g_assert_true(value);
    g_assert_true(options_get_bool(opts, "b", &value, &err));
    g_assert_false(value);
    value = true;
    g_assert_false(options_get_bool(opts, "c", &value, &err));
    g_assert_true(value);
    EXPECT_ERROR(err, "-device: ", "'c'", "'maybe'", "; use on or off");
    g_assert_false(options_get_bool(opts, "d", &value, &err));
    EXPECT_ERROR(err, "'d'", "''");
}

static void test_get_uint(void)
{
    g_autoptr(Options) opts = parse_ok("a=15,b=16,c=-1,d=0x10000000000000000,e=0xf", NULL);
    g_autoptr(GError) err = NULL;
    uint64_t value = 3;

    g_assert_true(options_get_uint(opts, "missing", 15, &value, &err));
    g_assert_cmpuint(value, ==, 3);
    g_assert_true(options_get_uint(opts, "a", 15, &value, &err));
    g_assert_cmpuint(value, ==, 15);
    value = 3;
    g_assert_true(options_get_uint(opts, "e", 15, &value, &err));
    g_assert_cmpuint(value, ==, 15);
    g_assert_false(options_get_uint(opts, "b", 15, &value, &err));
    EXPECT_ERROR(err, "-device: ", "'b'", "'16'", "; use a whole number from 0 to 15");
    g_assert_false(options_get_uint(opts, "c", UINT64_MAX, &value, &err));
    EXPECT_ERROR(err, "'-1'", "18446744073709551615");
    g_assert_false(options_get_uint(opts, "d", UINT64_MAX, &value, &err));
    g_assert_cmpuint(value, ==, 15);
}

static void test_get_size(void)
{
    g_autoptr(Options) opts = parse_ok("a=512,b=2M,c=big", NULL);
    g_autoptr(GError) err = NULL;
    uint64_t value = 3;

    g_assert_true(options_get_size(opts, "missing", &value, &err));
    g_assert_cmpuint(value, ==, 3);
    g_assert_true(options_get_size(opts, "a", &value, &err));
    g_assert_cmpuint(value, ==, 512);
    g_assert_true(options_get_size(opts, "b", &value, &err));
    g_assert_cmpuint(value, ==, 2 * 1024 * 1024);
    g_assert_false(options_get_size(opts, "c", &value, &err));
    EXPECT_ERROR(err, "-device: ", "'c'", "'big'", "; use a number of bytes");
    g_assert_cmpuint(value, ==, 2 * 1024 * 1024);
}

static void test_get_enum(void)
{
    static const char *const names[] = { "none", "writeback", "unsafe", NULL };
    g_autoptr(Options) opts = parse_ok("a=unsafe,b=safe,c=None", NULL);
    g_autoptr(GError) err = NULL;
    int value = 1;

    g_assert_true(options_get_enum(opts, "missing", names, &value, &err));
    g_assert_cmpint(value, ==, 1);
    g_assert_true(options_get_enum(opts, "a", names, &value, &err));
    g_assert_cmpint(value, ==, 2);
    g_assert_false(options_get_enum(opts, "b", names, &value, &err));
    EXPECT_ERROR(err, "'b'", "'safe'", "; use one of: none, writeback, unsafe");
    g_assert_false(options_get_enum(opts, "c", names, &value, NULL));
    g_assert_cmpint(value, ==, 2);
}

static void test_take_prefix(void)
{
    g_autoptr(Options) opts = parse_ok("file.filename=/x,file.on.y=1,filex=2,file.=3", NULL);
    g_autoptr(Options) sub = options_take_prefix(opts, "file.");
    g_autoptr(Options) sub_sub = options_take_prefix(sub, "on.");
    g_autofree char *pairs = NULL;
    g_autoptr(GError) err = NULL;
    bool value;

    /* What was taken is the sub-set's to check; the rest is not. */
    g_assert_false(options_check_unused(opts, NULL, &err));
    EXPECT_ERROR(err, "'filex'");
    g_assert_false(options_check_unused(sub, NULL, &err));
    EXPECT_ERROR(err, "-device: ", "'file.filename'", "'/x'", "; remove it");
    /* Messages name the key as the user wrote it. */
    g_assert_false(options_get_bool(sub_sub, "y", &value, &err));
    EXPECT_ERROR(err, "'file.on.y'", "'1'");
    pairs = dump(sub);
    g_assert_cmpstr(pairs, ==, "filename=/x;on.y=1;");
}

static void test_check_unused(void)
{
    static const char *const known[] = { "id", "bus", NULL };
    g_autoptr(Options) opts = parse_ok("id=a,colour=red,bus=b", NULL);
    g_autoptr(GError) err = NULL;

    options_get(opts, "id");
    options_has(opts, "colour");
    g_assert_false(options_check_unused(opts, known, &err));
    EXPECT_ERROR(err, "-device: ", "'colour'", "'red'", "; use one of: id, bus");
    options_get(opts, "colour");
    g_assert_false(options_check_unused(opts, NULL, &err));
    EXPECT_ERROR(err, "'bus'");
    options_get(opts, "bus");
    g_assert_true(options_check_unused(opts, known, &err));
    g_assert_no_error(err);
    /* A new value has not been read yet. */
    options_set(opts, "id", "c");
    g_assert_false(options_check_unused(opts, known, NULL));
}

static bool stop_at_b(const char *key, const char *value, void *opaque, GError **errp)
{
    (*(int *)opaque)++;
    if (!strcmp(key, "b")) {
        error_setg(errp, "stop at %s", value);
        return false;
    }
    return true;
}

static void test_foreach(void)
{
    g_autoptr(Options) opts = parse_ok("a=1,b=2,c=3", NULL);
    g_autoptr(GError) err = NULL;
    int calls = 0;

    g_assert_false(options_foreach(opts, stop_at_b, &calls, &err));
    EXPECT_ERROR(err, "stop at 2");
    g_assert_cmpint(calls, ==, 2);
    g_assert_true(options_check_unused(opts, NULL, NULL));
}

/* ---- value parsers -------------------------------------------------------------------------- */

static void test_parse_bool(void)
{
    static const char *const on[] = { "on", "yes", "true", "y" };
    static const char *const off[] = { "off", "no", "false", "n" };
    static const char *const bad[] = { "", "ON", "1", "0", "on ", "o" };
    bool value;

    for (unsigned i = 0; i < G_N_ELEMENTS(on); i++) {
        value = false;
        g_assert_true(parse_bool(on[i], &value));
        g_assert_true(value);
        g_assert_true(parse_bool(off[i], &value));
        g_assert_false(value);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(parse_bool(bad[i], &value));
    }
}

static void test_parse_uint64(void)
{
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {
        { "0", 0 }, { "1", 1 }, { "0x1F", 31 }, { "0X1f", 31 }, { "017", 15 },
        { "18446744073709551615", UINT64_MAX }, { "0xffffffffffffffff", UINT64_MAX },
    };
    static const char *const bad[] = {
        "", " 1", "1 ", "+1", "-1", "-0", "x", "0x", "0xg", "08", "1.0", "1k",
        "18446744073709551616", "0x10000000000000000", "99999999999999999999999",
    };
    uint64_t value;

    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        value = 77;
        g_assert_true(parse_uint64(good[i].text, &value));
        g_assert_cmpuint(value, ==, good[i].value);
    }
    value = 77;
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(parse_uint64(bad[i], &value));
        g_assert_cmpuint(value, ==, 77);
    }
}

static void test_parse_int64(void)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {
        { "0", 0 }, { "-0", 0 }, { "-1", -1 }, { "-0x10", -16 },
        { "9223372036854775807", INT64_MAX }, { "-9223372036854775808", INT64_MIN },
    };
    static const char *const bad[] = {
        "", "-", "--1", "- 1", "+1", "9223372036854775808", "-9223372036854775809", "1-",
    };
    int64_t value;

    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        value = 77;
        g_assert_true(parse_int64(good[i].text, &value));
        g_assert_cmpint(value, ==, good[i].value);
    }
    value = 77;
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(parse_int64(bad[i], &value));
        g_assert_cmpint(value, ==, 77);
    }
}

static void test_parse_size(void)
{
    static const struct {
        const char *text;
        char default_suffix;
        uint64_t value;
    } good[] = {
        { "0", 'B', 0 }, { "512", 'B', 512 }, { "512", 'M', 512ULL << 20 }, { "512B", 'M', 512 },
        { "1k", 'B', 1024 }, { "1K", 'B', 1024 }, { "3G", 'M', 3ULL << 30 },
        { "2T", 'B', 2ULL << 40 },
        { "2P", 'B', 2ULL << 50 }, { "15E", 'B', 15ULL << 60 }, { "1.5G", 'B', 3ULL << 29 },
        { "0.5", 'K', 512 }, { "1.0001K", 'B', 1024 }, { "0x10", 'B', 16 }, { "0x10K", 'B', 16384 },
        { "010", 'B', 10 }, { "15.999999999999999999999999E", 'B', UINT64_MAX - 1 },
        { "18446744073709551615", 'B', UINT64_MAX }, { "16383.5P", 'B', 18446181123756130304ULL },
    };
    static const char *const bad[] = {
        "", "K", " 1", "1 K", "-1", "+1", "1KB", "1Q", "1.", "1.K", ".5K", "1.5", "1.5B", "0x1.5K",
        "16E", "18446744073709551616", "1e3", "1,5K", "0x", "1.5.5K",
    };
    uint64_t value;

    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        value = 77;
        g_assert_true(parse_size(good[i].text, good[i].default_suffix, &value));
        g_assert_cmpuint(value, ==, good[i].value);
    }
    value = 77;
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(parse_size(bad[i], 'B', &value));
        g_assert_cmpuint(value, ==, 77);
    }
}

static void test_id(void)
{
    g_autofree char *longest = g_strnfill(127, 'a');
    g_autofree char *longer = g_strnfill(128, 'a');

    g_assert_true(id_wellformed("a"));
    g_assert_true(id_wellformed("Lsi0.drive-1_x"));
    g_assert_true(id_wellformed(longest));
    g_assert_false(id_wellformed(longer));
    g_assert_false(id_wellformed(""));
    g_assert_false(id_wellformed("0a"));
    g_assert_false(id_wellformed("-a"));
    g_assert_false(id_wellformed("a/b"));
    g_assert_false(id_wellformed("a b"));
    g_assert_false(id_wellformed("\xc3\xa4"));
    g_assert_false(id_wellformed("a\xc3\xa4"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/options/parses-pairs-and-json", test_parse_good);
    g_test_add_func("/options/refuses-bad-syntax", test_parse_bad);
    g_test_add_func("/options/limits-json-depth", test_json_depth);
    g_test_add_func("/options/limits-key-length", test_key_length);
    g_test_add_func("/options/json-number-too-big-is-refused", test_json_big_number);
    g_test_add_func("/options/set-replaces", test_set_get);
    g_test_add_func("/options/get-bool", test_get_bool);
    g_test_add_func("/options/get-uint-checks-limit", test_get_uint);
    g_test_add_func("/options/get-size", test_get_size);
    g_test_add_func("/options/get-enum-lists-names", test_get_enum);
    g_test_add_func("/options/take-prefix-keeps-full-names", test_take_prefix);
    g_test_add_func("/options/check-unused-names-first", test_check_unused);
    g_test_add_func("/options/foreach-stops", test_foreach);
    g_test_add_func("/parse/bool", test_parse_bool);
    g_test_add_func("/parse/uint64", test_parse_uint64);
    g_test_add_func("/parse/int64", test_parse_int64);
    g_test_add_func("/parse/size", test_parse_size);
    g_test_add_func("/parse/id", test_id);
    return g_test_run();
}
