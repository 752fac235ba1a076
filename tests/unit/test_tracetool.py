#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of scripts/tracetool.py: what it refuses, where, and that compilers check what it makes.

    test_tracetool.py TRACETOOL INCLUDE_DIR CC...
"""
import os
import subprocess
import sys
import tempfile
import unittest

TRACETOOL, INCLUDE_DIR, CC = sys.argv[1], sys.argv[2], sys.argv[3:]
GLIB = subprocess.run(['pkg-config', '--cflags', 'glib-2.0'], check=True, capture_output=True,
                      text=True).stdout.split()


class Tracetool(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.dir = tmp.name
        os.mkdir(self.path('trace'))

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def run_tool(self, *args):
        return subprocess.run([sys.executable, TRACETOOL, *args], capture_output=True, text=True,
                              check=False)

    def events(self, text, group='hw-x'):
        """Runs the tool on TEXT as a directory's trace-events."""
        with open(self.path('trace-events'), 'w', encoding='utf-8') as file:
            file.write(text)
        return self.run_tool('events', group, self.path('trace-events'),
                             self.path('trace', group + '.h'), self.path('trace', group + '.c'))

    def compile(self, source):
        return subprocess.run([*CC, '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-Wshadow',
                               '-Wmissing-prototypes', '-Wformat-security', '-c', '-o', '/dev/null',
                               f'-I{self.dir}', f'-I{INCLUDE_DIR}', *GLIB, self.path(source)],
                              capture_output=True, text=True, check=False)

    def test_good_lines_compile(self):
        done = self.events('# comment\n\n'
                           'x_void(void) "text"\n'
                           'x_all(int a, unsigned long b, const char *c, void *d, bool e) '
                           '"%d %lu \\"%s\\" %p %d"\n'
                           '  x_spaces( uint64_t   a ,const  char  * b )'
                           '   "%" PRIx64 " and " "%s"  \n')
        self.assertEqual(done.returncode, 0, done.stderr)
        compiled = self.compile('trace/hw-x.c')
        self.assertEqual(compiled.returncode, 0, compiled.stderr)

    def test_no_events_compile(self):
        self.assertEqual(self.events('# nothing yet\n').returncode, 0)
        self.assertEqual(self.events('', group='io').returncode, 0)
        self.assertEqual(self.run_tool('table', self.path('table.c'), 'hw/x', 'io').returncode, 0)
        for source in ('trace/hw-x.c', 'trace/io.c', 'table.c'):
            compiled = self.compile(source)
            self.assertEqual(compiled.returncode, 0, compiled.stderr)
        with open(self.path('table.c'), encoding='ascii') as file:
            table = file.read()
        self.assertIn('trace_events_hw_x,\n    trace_events_io,\n    NULL\n', table)

    def test_format_is_checked_at_the_line_of_the_event(self):
        for line in ('x(int a) "%s"', 'x(int a, int b) "%d"', 'x(void) "%d"', 'x(uint64_t a) "%d"'):
            self.assertEqual(self.events(f'# comment\n{line}\n').returncode, 0)
            compiled = self.compile('trace/hw-x.c')
            self.assertNotEqual(compiled.returncode, 0, line)
            self.assertIn('trace-events:2:', compiled.stderr)

    def test_malformed_lines_are_refused_with_their_place(self):
        for line, message in (
                ('x', 'write NAME(TYPE ARG, ...)'),
                ('x(int a)', 'is not a C string'),
                ('x(int a "%d"', 'write NAME(TYPE ARG, ...)'),
                ('X(int a) "%d"', 'lower-case'),
                ('1x(int a) "%d"', 'lower-case'),
                ('x() "text"', 'NAME(void)'),
                ('x(int) "%d"', "argument 'int' is not TYPE NAME"),
                ('x(int a,) "%d"', "argument '' is not TYPE NAME"),
                ('x(int a, int a) "%d"', "'a' is there twice"),
                ('x(PCIDevice *d) "%p"', "type 'PCIDevice *' of argument 'd' is not known"),
                ('x(int a) "%d', 'is not a C string'),
                ('x(int a) "%d" junk', 'is not a C string'),
                ('x(int a) %d', 'is not a C string'),
                ('x(int a) "%d\\n"', 'has a \\n'),
                ('x(void) ""', 'is empty'),
                ('x(void) "a"); system("b"', 'is not a C string')):
            done = self.events(f'good(void) "text"\n\n{line}\n')
            self.assertNotEqual(done.returncode, 0, line)
            self.assertIn('trace-events:3: error: ', done.stderr)
            self.assertIn(message, done.stderr)
            self.assertFalse(os.path.exists(self.path('trace', 'hw-x.c')), 'wrote output for ' + line)

    def test_repeated_name_is_refused(self):
        done = self.events('x(void) "a"\nx(int a) "%d"\n')
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("trace-events:2: error: event 'x' is already in line 1", done.stderr)

    def test_bytes_outside_ascii_are_refused_with_their_place(self):
        done = self.events('x(void) "a"\ny(void) "\u00e4"\n')
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('trace-events:2: error: ', done.stderr)

    def test_wrong_use_prints_the_usage(self):
        for args in ((), ('events',), ('events', 'a', 'b', 'c'), ('table',), ('other', 'a')):
            done = self.run_tool(*args)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn('tracetool.py events GROUP', done.stderr)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
