#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of scripts/qapi-gen.py: what it refuses, where, and that what it makes compiles and is a page.

    test_qapi_gen.py QAPI_GEN INCLUDE_DIR CC...
"""
import os
import subprocess
import sys
import tempfile
import unittest

QAPI_GEN, INCLUDE_DIR, CC = sys.argv[1], sys.argv[2], sys.argv[3:]
CFLAGS = subprocess.run(['pkg-config', '--cflags', 'json-glib-1.0'], check=True, capture_output=True,
                        text=True).stdout.split()

HEADING = "##\n# = Things\n#\n# Text of the heading.\n##\n\n"


def doc(name, *members, returns=None):
    """A documentation comment."""
    lines = [f'@{name}:', '', 'What it is.']
    for member in members:
        lines += ['', f'@{member}: what it is']
    if returns:
        lines += ['', f'Returns: {returns}']
    return '##\n' + ''.join(f'# {line}\n' if line else '#\n' for line in lines) + '##\n'


GOOD = HEADING + doc('Color', 'red', 'dark-green') + "{ 'enum': 'Color', 'data': [ 'red', 'dark-green' ] }\n" \
    + doc('Base', 'kind', 'n') + "{ 'struct': 'Base', 'data': { 'kind': 'Color', '*n': 'uint8' } }\n" \
    + doc('Red', 'next') + "{ 'struct': 'Red', 'data': { '*next': 'Ref' } }\n" \
    + doc('Thing') + "{ 'union': 'Thing', 'base': 'Base', 'discriminator': 'kind', 'data': { 'red': 'Red' } }\n" \
    + doc('Ref', 'new', 'old') + "{ 'alternate': 'Ref', 'data': { 'new': 'Thing', 'old': 'str' } }\n" \
    + doc('make', 'things', 'x', returns='things') \
    + "{ 'command': 'make', 'data': { 'things': [ 'Thing' ], 'x': 'any' }, 'returns': [ 'Ref' ], 'allow-oob': true,\n" \
      "  'open': true }\n" \
    + doc('add') + "{ 'command': 'add', 'data': 'Thing' }  # a comment\n" + doc('MADE') + "{ 'event': 'MADE' }\n"


class QapiGen(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.dir = tmp.name

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, text, name='s.json'):
        with open(self.path(name), 'w', encoding='utf-8') as file:
            file.write(text)
        return self.path(name)

    def run_tool(self, *args):
        return subprocess.run([sys.executable, QAPI_GEN, *args], capture_output=True, text=True, check=False)

    def refuses(self, text, message, line=None):
        done = self.run_tool('check', self.write(text))
        self.assertEqual(done.returncode, 1, text)
        self.assertIn(message, done.stderr)
        self.assertNotIn('Traceback', done.stderr)
        if line:
            self.assertIn(f's.json:{line}: error: ', done.stderr)

    def test_good_schema_compiles_and_is_a_page(self):
        schema = self.write(GOOD)
        self.assertEqual(self.run_tool('check', schema).returncode, 0)
        done = self.run_tool('c', schema, self.path('t.c'))
        self.assertEqual(done.returncode, 0, done.stderr)
        compiled = subprocess.run([*CC, '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-Wno-missing-field-initializers',
                                   '-c', '-o', '/dev/null', f'-I{INCLUDE_DIR}', *CFLAGS, self.path('t.c')],
                                  capture_output=True, text=True, check=False)
        self.assertEqual(compiled.returncode, 0, compiled.stderr)
        with open(self.path('t.c'), encoding='ascii') as file:
            table = file.read()
        for part in ('{ "n", &type_uint8, true }', '.max = 255u', '.tag = "kind"', '"dark-green"', '.open = true',
                     '{ "make", &type_q_obj_make_arg, &type_list_Ref, .allow_oob = true }',
                     '{ "MADE", &type_q_empty }'):
            self.assertIn(part, table)
        self.assertIn('members_type_Thing[] = {\n    { "kind", &', table)        # a base's members come first
        self.assertEqual(self.run_tool('page', schema, self.path('p.rst')).returncode, 0)
        with open(self.path('p.rst'), encoding='ascii') as file:
            page = file.read()
        for part in ('make (command)', 'MADE (event)', '``n`` (``uint8``, optional)', 'array of `Thing`_',
                     'Text of the heading.'):
            self.assertIn(part, page)

    def test_includes_are_read_once_and_from_their_place(self):
        os.mkdir(self.path('sub'))
        self.write("{ 'include': 'b.json' }\n" + HEADING + doc('a') + "{ 'command': 'a' }\n", 'sub/a.json')
        self.write(HEADING.replace('Things', 'Others') + doc('b') + "{ 'command': 'b' }\n", 'sub/b.json')
        top = self.write("{ 'include': 'sub/a.json' }\n{ 'include': 'sub/b.json' }\n")
        done = self.run_tool('check', top)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('nosuch.json', self.run_tool('check', self.write("{ 'include': 'nosuch.json' }\n")).stderr)

    def test_undocumented_things_are_refused(self):
        self.refuses(HEADING + "{ 'command': 'x' }\n", "has no documentation comment", 7)
        self.refuses(HEADING + doc('y') + "{ 'command': 'x' }\n", "has no documentation comment")
        self.refuses(HEADING + doc('x') + "{ 'command': 'x', 'data': { 'a': 'str' } }\n",
                     "'a' of 'x' is not documented", 7)
        self.refuses(HEADING + doc('x') + "{ 'event': 'x', 'data': { '*a': 'str' } }\n", "'a' of 'x' is not documented",
                     7)
        self.refuses(HEADING + doc('x', 'a') + "{ 'command': 'x' }\n", "describes 'a', which is not there")
        self.refuses(HEADING + doc('x') + "{ 'command': 'x', 'returns': 'str' }\n", "does not say what it returns")
        self.refuses(HEADING + doc('E', 'a') + "{ 'enum': 'E', 'data': [ 'a', 'b' ] }\n",
                     "'b' of 'E' is not documented")
        self.refuses(HEADING + doc('S') + "{ 'struct': 'S', 'data': { 'a': 'str' } }\n", "'a' of 'S' is not documented")
        self.refuses(HEADING + doc('A') + "{ 'alternate': 'A', 'data': { 'a': 'str' } }\n",
                     "'a' of 'A' is not documented")
        self.refuses(HEADING + doc('x', 'a').replace('what it is\n', '\n') +
                     "{ 'command': 'x', 'data': { 'a': 'str' } }\n",
                     "'a' of 'x' is not documented")
        self.refuses(HEADING + doc('x'), "the comment belongs to no definition")
        self.refuses(doc('x') + "{ 'command': 'x' }\n", "a heading ('# = TITLE') must come first")

    def test_examples_must_fit_the_schema(self):
        def schema(*lines):
            return (HEADING + doc('K', 'k') + "{ 'enum': 'K', 'data': [ 'k' ] }\n" +
                    doc('E', 'n') + "{ 'event': 'E', 'data': { 'n': 'uint8' } }\n" +
                    doc('x', 'a', returns='y').rstrip('#\n') + '\n#\n# Example:\n' +
                    ''.join(f'#     {line}\n' for line in lines) +
                    "##\n{ 'command': 'x', 'data': { '*a': [ 'K' ] }, 'returns': 'bool' }\n")
        path = self.write(schema('-> { "execute": "x",', '     "arguments": { "a": [ "k" ] } }',
                                 '<- { "event": "E", "data": { "n": 1 } }', '<- { "return": true }',
                                 '-> { "execute": "x" }', '<- { "error": { "class": "GenericError", "desc": "no" } }'))
        done = self.run_tool('page', path, self.path('p.rst'))
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.path('p.rst'), encoding='ascii') as file:
            self.assertIn('Example::\n\n    -> { "execute": "x",\n         "arguments": { "a": [ "k" ] } }\n    <- {',
                          file.read())
        for line, message in (
                ('-> { "execute": ', "the example of 'x' is no JSON"),
                ('-> { "execute": "y" }', "the example of 'x' does not fit the schema"),
                ('-> { "execute": "x", "arguments": { "b": 1 } }', "does not fit"),
                ('-> { "execute": "x", "arguments": { "a": "k" } }', "does not fit"),
                ('-> { "execute": "x", "arguments": { "a": [ "l" ] } }', "does not fit"),
                ('<- { "event": "E" }', "does not fit"), ('<- { "event": "F", "data": { "n": 1 } }', "does not fit"),
                ('<- { "event": "E", "data": { "n": true } }', "does not fit"),
                ('<- { "return": true }', "does not fit")):
            self.refuses(schema(line), message, None)
        self.refuses(schema('-> { "execute": "x" }', '<- { "return": 1 }'), "does not fit", None)

    def test_mistakes_are_refused_with_their_place(self):
        def command(text):
            return HEADING + doc('x', 'a', returns='y') + text + '\n'
        for text, message in (
                ("{ 'command': 'x', 'data': { 'a': 'nosuch' } }", "there is no type 'nosuch'"),
                ("{ 'command': 'x', 'data': 'nosuch' }", "there is no type 'nosuch'"),
                ("{ 'command': 'x', 'data': { 'a': [ 'str', 'str' ] } }", "an array type is"),
                ("{ 'command': 'x', 'data': { 'a': [] } }", "an array type is"),
                ("{ 'command': 'x', 'data': 'str' }", "the data of 'x' is no object"),
                ("{ 'command': 'x', 'data': { 'a': 'str' }, 'foo': true }", "'foo' is nothing that a command has"),
                ("{ 'command': 'x', 'data': { 'a': 'str', 'a': 'int' } }", "'a' is there twice"),
                ("{ 'command': 'x', 'data': { 'a': 'str', '*a': 'int' } }",
                 "member 'a' of 'q_obj_x-arg' is there twice"),
                ("{ 'command': 'x', 'data': { 'a b': 'str' } }", "'a b' is no name"),
                ("{ 'command': '1x' }", "'1x' is no name"),
                ("{ 'foo': 'x' }", "a definition is one of"),
                ("[ 'x' ]", "a definition is an object"),
                ("{ 'command': 'x' ", "the file ends inside a definition"),
                ("{ 'command' 'x' }", "stands where : should"),
                ("{ 'command': : }", "stands where a value should"),
                ('{ "command": "x" }', "is not of the schema's language"),
                ("{ 'command': 'x' } }", "stands where a value should")):
            self.refuses(command(text), message, None)
        self.refuses(GOOD + doc('make') + "{ 'command': 'make' }\n", "'make' is defined twice")
        self.refuses(GOOD + doc('str') + "{ 'struct': 'str', 'data': {} }\n", "'str' is defined twice")
        self.refuses(GOOD + doc('Lost', 'a') + "{ 'enum': 'Lost', 'data': [ 'a' ] }\n", "nothing uses 'Lost'")
        self.refuses(GOOD.replace("'discriminator': 'kind'", "'discriminator': 'n'"),
                     "no member of 'Thing' that is always there")
        self.refuses(GOOD.replace("{ 'red': 'Red' }", "{ 'blue': 'Red' }"), "branch 'blue' of 'Thing'")
        self.refuses(GOOD.replace("'old': 'str'", "'old': 'Base'"), "cannot be told apart")
        self.refuses(GOOD.replace("'old': 'str'", "'old': 'any'"), "cannot be told apart")
        self.refuses(GOOD.replace("'*next': 'Ref'", "'*next': 'Ref', 'kind': 'str'").replace(
            '# @next: what it is', '# @next: what it is\n#\n# @kind: what it is'),
            "member 'kind' of 'Thing' is there twice")

    def test_wrong_use_prints_the_usage(self):
        for args in ((), ('c',), ('c', 'a'), ('check', 'a', 'b'), ('other', 'a')):
            done = self.run_tool(*args)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn('qapi-gen.py c SCHEMA.json', done.stderr)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
