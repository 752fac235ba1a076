/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a fuzz target on files, in place of libFuzzer: so every build replays the corpus, with any compiler.
 * Runs in: fuzz targets of builds without --enable-fuzzers
 *
 * Arguments are files, and directories whose files are meant.  Ends with status 0 when the target has returned from
 * all; a target that finds something ends the program itself.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <glib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static void run_file(const char *path)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *data = NULL;
    g_autofree uint8_t *exact = NULL;
    gsize size;

    if (!g_file_get_contents(path, &data, &size, &err)) {
        fprintf(stderr, "%s\n", err->message);
        exit(EXIT_FAILURE);
    }
    /* Without the NUL that GLib puts behind: a read past the end is to be seen. */
    exact = g_memdup2(data, size);
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(exact, size);
}

static void run_directory(const char *path, GDir *dir)
{
    const char *name;

    while ((name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(path, name, NULL);

        run_file(file);
    }
}

int main(int argc, char **argv)
{
    if (LLVMFuzzerInitialize) {
        LLVMFuzzerInitialize(&argc, &argv);
    }
    for (int i = 1; i < argc; i++) {
        g_autoptr(GDir) dir = g_dir_open(argv[i], 0, NULL);

        if (dir) {
            run_directory(argv[i], dir);
        } else {
            run_file(argv[i]);
        }
    }
    return EXIT_SUCCESS;
}
