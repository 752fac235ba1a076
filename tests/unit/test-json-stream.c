/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON texts from a stream: where they end, however they are cut; limits; what is refused; finding the way again.
 */
#include <string.h>
#include "util/error.h"
#include "util/json-stream.h"

/* What the stream gives for TEXT, pushed in pieces of PIECE bytes: "{...}" of each object, "!" for each error. */
static char *read_pieces(const char *text, size_t len, size_t piece)
{
    g_autoptr(JsonStream) stream = json_stream_new();
    g_autoptr(GString) result = g_string_new(NULL);

    for (size_t pos = 0; pos < len; pos += piece) {
        g_autoptr(JsonNode) node = NULL;
        g_autoptr(GError) err = NULL;

        json_stream_push(stream, text + pos, MIN(piece, len - pos));
        while (json_stream_next(stream, &node, &err)) {
            g_autofree char *shown = node ? json_to_string(node, FALSE) : g_strdup("!");

            g_assert_true(!node == (err != NULL));
            if (err) {
                g_assert_true(g_error_matches(err, MPQEMU_ERROR, ERROR_CLASS_GENERIC));
                g_assert_null(strchr(err->message, '\n'));
            }
            g_string_append(result, shown);
            g_clear_pointer(&node, json_node_unref);
            g_clear_error(&err);
        }
    }
    return g_string_free(g_steal_pointer(&result), FALSE);
}

static char *read_all(const char *text)
{
    return read_pieces(text, strlen(text), strlen(text));
}

static void expect(const char *text, const char *wanted)
{
    g_autofree char *got = read_all(text);

    g_assert_cmpstr(got, ==, wanted);
}

/* ---- texts ----------------------------------------------------------------------------------- */

static void test_cut_at_every_byte(void)
{
    static const char text[] = " \r\n{\"a\":[1,{\"b\":\"}{\\\"\\\\\"}],\"\\u00e4\":\"\xc3\xa4\"}{}\t{\"c\":null}\n"
                               "[1]{\"d\":true} x {\"lost\":1}\n{\"e\":-1.5e2}";
    g_autofree char *whole = read_all(text);

    g_assert_cmpstr(whole, ==, "{\"a\":[1,{\"b\":\"}{\\\"\\\\\"}],\"\xc3\xa4\":\"\xc3\xa4\"}{}{\"c\":null}"
                               "!{\"d\":true}!{\"e\":-150.0}");
    for (size_t piece = 1; piece < sizeof(text); piece++) {
        g_autofree char *got = read_pieces(text, strlen(text), piece);

        g_assert_cmpstr(got, ==, whole);
    }
    for (size_t cut = 0; cut < strlen(text); cut++) {
        g_autoptr(JsonStream) stream = json_stream_new();
        g_autoptr(GString) got = g_string_new(NULL);

        for (int half = 0; half < 2; half++) {
            g_autoptr(JsonNode) node = NULL;
            g_autoptr(GError) err = NULL;

            json_stream_push(stream, text + (half ? cut : 0), half ? strlen(text) - cut : cut);
            while (json_stream_next(stream, &node, &err)) {
                g_autofree char *shown = node ? json_to_string(node, FALSE) : g_strdup("!");

                g_string_append(got, shown);
                g_clear_pointer(&node, json_node_unref);
                g_clear_error(&err);
            }
        }
        g_assert_cmpstr(got->str, ==, whole);
    }
}

static void test_partial(void)
{
    g_autoptr(JsonStream) stream = json_stream_new();
    g_autoptr(JsonNode) node = NULL;

    g_assert_false(json_stream_next(stream, &node, NULL));
    g_assert_false(json_stream_is_partial(stream));
    json_stream_push(stream, " {\"a\"", 5);
    g_assert_false(json_stream_next(stream, &node, NULL));
    g_assert_true(json_stream_is_partial(stream));
    json_stream_push(stream, ":1}  ", 5);
    g_assert_true(json_stream_next(stream, &node, NULL));
    g_assert_cmpuint(json_stream_last_size(stream), ==, 7);
    g_assert_false(json_stream_is_partial(stream));
    g_assert_null(json_stream_next(stream, &(JsonNode *){ NULL }, NULL) ? "more" : NULL);
}

static void test_words_that_are_not_json(void)
{
    static const char *const bad[] = {
        "010", "0x10", "0b1", "00", "1.", ".5", "+1", "--1", "- 1", "1e", "1e+", "-", "1a", "1.5.5", "1e400", "-1e400",
        "tru", "True", "NaN", "nul", "var", "a", "1 2", "1:2", "1,", "[1,]", "[1 2]", "[1}", ",", "",
        "\"\\q\"", "\"\\u12\"", "\"\\u0000\"", "\"a\\u0000b\"", "\"\\ud800\"", "\"\x01\"", "\"\t\"", "\"\x80\"",
        "\"\xc0\x80\"", "\"\xed\xa0\x80\"",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *text = g_strdup_printf("{\"a\":%s}{\"good\":1}", bad[i]);
        g_autofree char *got = read_all(text);

        if (strcmp(got, "!{\"good\":1}") != 0) {
            g_error("%s gives %s", text, got);
        }
    }
    expect("{a:1}{\"good\":1}", "!{\"good\":1}");
    expect("{1:2}{\"good\":1}", "!{\"good\":1}");
    expect("{\"a\"}{\"good\":1}", "!{\"good\":1}");
    expect("{\"a\" 1}{\"good\":1}", "!{\"good\":1}");
    expect("{,}{\"good\":1}", "!{\"good\":1}");
    expect("[}{\"good\":1}", "!{\"good\":1}");
}

static void test_a_key_that_is_there_twice(void)
{
    expect("{\"a\":1,\"a\":2}{\"good\":1}", "!{\"good\":1}");
    expect("{\"a\":1,\"\\u0061\":1}", "!"); /* written otherwise, but the same */
    expect("{\"a\":[{\"b\":{\"c\":1,\"d\":[{}],\"c\":1}}]}", "!");
    expect("{\"a\":{\"a\":[{\"a\":\":\"},{\"a\":\"{:}\"}]},\":\":{}}",
           "{\"a\":{\"a\":[{\"a\":\":\"},{\"a\":\"{:}\"}]},\":\":{}}");
}

/* What a JSON text never has outside of strings: the rest of the line is lost. */
static void test_foreign_bytes(void)
{
    static const char *const bad[] = {
        "{'a':1}", "{\"a\":1} // x", "/* x */ {}", "{\"a\":1/**/}", "x", "}", "]", "\"text\"", "1", "null",
        "{\"a\":1;}", "\xef\xbb\xbf{}",
        "{\x7f}", "GET / HTTP/1.1",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *text = g_strdup_printf("%s {\"lost\":1}\n{\"good\":1}", bad[i]);
        g_autofree char *got = read_all(text);

        g_assert_true(g_str_has_suffix(got, "!{\"good\":1}"));
    }
    expect("\x01\n\x02\n{}\n", "!!{}");
}

/* json-glib would make bytes of them that are no UTF-8. */
static void test_halves_of_surrogate_pairs_are_refused(void)
{
    static const struct {
        const char *text, *read;
    } cases[] = {
        { "{\"a\":\"\\ud83d\\ude00\"}", "{\"a\":\"\xf0\x9f\x98\x80\"}" },
        { "{\"a\":\"\\ude00x\"}", "!" },
        { "{\"a\":\"\\ud83dx\"}", "!" },
        { "{\"a\":\"\\ud83d\\ud83d\"}", "!" },
        { "{\"a\":\"\\ud83d\\u0041\"}", "!" },
        { "{\"\\udfff\":1}", "!" },
        { "{\"a\":\"\\u12g4\"}", "!" },
        { "{\"a\":\"\\u123\"}", "!" },
        { "{\"a\":\"\\u0000\"}", "!" },
        { "{\"a\":\"\\ud7ff\\ue000\"}", "{\"a\":\"\xed\x9f\xbf\xee\x80\x80\"}" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *got = read_all(cases[i].text);

        g_assert_cmpstr(got, ==, cases[i].read);
    }
}

static void test_nul_bytes(void)
{
    static const char inside[] = "{\"a\":\"\0\"}\n{\"good\":1}", outside[] = "{\"a\":\0 1}\n{\"good\":1}";
    g_autofree char *a = read_pieces(inside, sizeof(inside) - 1, 5);
    g_autofree char *b = read_pieces(outside, sizeof(outside) - 1, 5);

    g_assert_cmpstr(a, ==, "!{\"good\":1}");
    g_assert_cmpstr(b, ==, "!{\"good\":1}");
}

static void test_numbers(void)
{
    expect("{\"a\":9223372036854775807}", "{\"a\":9223372036854775807}");
    expect("{\"a\":-9223372036854775808}", "{\"a\":-9223372036854775808}");
    expect("{\"a\":9223372036854775808}", "{\"a\":9.2233720368547758e+18}");
    expect("{\"a\":[-9223372036854775809,18446744073709551615 , 1]}",
           "{\"a\":[-9.2233720368547758e+18,1.8446744073709552e+19,1]}");
    expect("{\"9223372036854775808\":\"9223372036854775808\"}", "{\"9223372036854775808\":\"9223372036854775808\"}");
    expect("{\"a\":[0,-0,0.5,1e2,1E-2,-1.25e+1]}", "{\"a\":[0,0,0.5,100.0,0.01,-12.5]}");
}

static void test_strings(void)
{
    expect("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\ud83d\\ude00\"}",
           "{\"a\":\"\\\"\\\\/\\b\\f\\n\\r\\tA\xf0\x9f\x98\x80\"}");
    expect("{\"\":\"\",\"a\":2}", "{\"\":\"\",\"a\":2}");
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void test_depth(void)
{
    for (int deeper = 0; deeper < 2; deeper++) {
        g_autoptr(GString) text = g_string_new("{\"a\":");
        g_autofree char *got = NULL;

        for (int i = 1; i < JSON_STREAM_DEPTH + deeper; i++) {
            g_string_append_c(text, '[');
        }
        for (int i = 1; i < JSON_STREAM_DEPTH + deeper; i++) {
            g_string_append_c(text, ']');
        }
        g_string_append(text, "}\n{}");
        got = read_all(text->str);
        g_assert_true(g_str_has_suffix(got, "{}"));
        g_assert_cmpint(got[0] == '!', ==, deeper);
    }
}

static void test_length(void)
{
    for (size_t more = 0; more < 2; more++) {
        g_autoptr(GString) text = g_string_new("{\"a\":\"");
        g_autofree char *got = NULL;

        while (text->len < JSON_STREAM_MAX - 2 + more) {
            g_string_append_c(text, 'x');
        }
        g_string_append(text, "\"}\n{}");
        got = read_pieces(text->str, text->len, 65536);
        g_assert_true(g_str_has_suffix(got, "{}"));
        g_assert_cmpint(got[0] == '!', ==, more);
    }
}

static void test_values(void)
{
    for (int more = 0; more < 2; more++) {
        g_autoptr(GString) text = g_string_new("{\"a\":[0");
        g_autofree char *got = NULL;

        for (int i = 2; i < JSON_STREAM_VALUES + more; i++) {
            g_string_append(text, ",0");
        }
        g_string_append(text, "]}\n{}");
        got = read_pieces(text->str, text->len, 4096);
        g_assert_true(g_str_has_suffix(got, "{}"));
        g_assert_cmpint(got[0] == '!', ==, more);
    }
}

/* Told at the limit, once, though the text goes on for ever; nothing is kept. */
static void test_endless_text(void)
{
    g_autoptr(JsonStream) stream = json_stream_new();
    g_autofree char *piece = g_strnfill(65536, ' ');
    unsigned errors = 0;

    json_stream_push(stream, "{", 1);
    for (int i = 0; i < 200; i++) {
        g_autoptr(JsonNode) node = NULL;
        g_autoptr(GError) err = NULL;

        json_stream_push(stream, piece, 65536);
        while (json_stream_next(stream, &node, &err)) {
            g_assert_null(node);
            g_clear_error(&err);
            errors++;
        }
    }
    g_assert_cmpuint(errors, ==, 1);
}

/* Random cuts and changes of good texts: always an answer, never a crash. */
static void test_random_bytes(void)
{
    static const char seed[] =
        "{\"execute\":\"x\",\"arguments\":{\"a\":[1,2.5,{\"b\":null}],\"c\":\"\\u00e4\\n\"},\"id\":[true]}\n";
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);

    for (int round = 0; round < 20000; round++) {
        char text[2 * sizeof(seed)];
        size_t len = sizeof(seed) - 1;
        g_autofree char *got = NULL;

        memcpy(text, seed, len);
        for (int changes = g_rand_int_range(rand, 1, 6); changes > 0; changes--) {
            text[g_rand_int_range(rand, 0, (int)len)] = (char)(g_rand_boolean(rand) ? g_rand_int_range(rand, 0, 256)
                                                               : seed[g_rand_int_range(rand, 0, (int)len)]);
        }
        memcpy(text + len, "\n{}", 3);
        got = read_pieces(text, len + 3, (size_t)g_rand_int_range(rand, 1, 40));
        g_assert_nonnull(got);
    }
}

static void test_line(void)
{
    g_autoptr(JsonNode) node = json_from_string("{\"a\":\"\xc3\xa4\\n\"}", NULL);
    g_autofree char *line = json_line(node);

    g_assert_cmpstr(line, ==, "{\"a\":\"\xc3\xa4\\n\"}\n");
}

static void test_large_and_small_numbers_are_written_as_json(void)
{
    static const struct {
        const char *text, *written;
    } cases[] = {
        { "{\"a\":[1,-3e232,null]}", "{\"a\":[1,-3e+232,null]}" },
        { "{\"a\":1e-7}", "{\"a\":9.9999999999999995e-08}" },
        { "{\"a\":2e-300,\"b\":1e300}", "{\"a\":2.0000000000000001e-300,\"b\":1.0000000000000001e+300}" },
        { "{\"a\":5e-324}", "{\"a\":4.9406564584124654e-324}" },
        { "{\"a\":100000.0}", "{\"a\":100000.0}" },
        { "{\"3e+232.0\":\"\\\"3e+232.0\"}", "{\"3e+232.0\":\"\\\"3e+232.0\"}" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(JsonNode) node = json_from_string(cases[i].text, NULL);
        g_autofree char *text = json_text(node, false);
        g_autofree char *again = NULL;
        g_autoptr(JsonNode) reread = NULL;

        g_assert_cmpstr(text, ==, cases[i].written);
        reread = json_from_string(text, NULL);
        again = json_text(reread, false);
        g_assert_cmpstr(again, ==, text);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json-stream/cut-at-every-byte", test_cut_at_every_byte);
    g_test_add_func("/json-stream/partial-text-is-told", test_partial);
    g_test_add_func("/json-stream/words-that-are-not-json-are-refused", test_words_that_are_not_json);
    g_test_add_func("/json-stream/a-key-that-is-there-twice", test_a_key_that_is_there_twice);
    g_test_add_func("/json-stream/foreign-bytes-cost-the-line", test_foreign_bytes);
    g_test_add_func("/json-stream/nul-bytes-are-refused", test_nul_bytes);
    g_test_add_func("/json-stream/numbers-beyond-64-bits-become-floating-point", test_numbers);
    g_test_add_func("/json-stream/strings", test_strings);
    g_test_add_func("/json-stream/depth-limit", test_depth);
    g_test_add_func("/json-stream/length-limit", test_length);
    g_test_add_func("/json-stream/values-limit", test_values);
    g_test_add_func("/json-stream/endless-text-is-told-once", test_endless_text);
    g_test_add_func("/json-stream/random-bytes", test_random_bytes);
    g_test_add_func("/json-stream/halves-of-surrogate-pairs-are-refused", test_halves_of_surrogate_pairs_are_refused);
    g_test_add_func("/json-stream/line", test_line);
    g_test_add_func("/json-stream/large-and-small-numbers-are-written-as-json",
                    test_large_and_small_numbers_are_written_as_json);
    return g_test_run();
}
