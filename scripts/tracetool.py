#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Generates the C code of trace events.

    tracetool.py events GROUP INPUT OUT.h OUT.c    a directory's `trace-events` file
    tracetool.py table OUT.c DIR...                the table of the directories one program links

The input's format is described in include/util/trace.h.  The format text is checked against the
arguments by the C compiler, which reports a mismatch at the line of the input (#line).
"""
import os
import re
import sys

# What an argument can be.  Only types that need no header of the tree, so that a trace header can
# be included anywhere.
TYPES = {
    'bool', 'char', 'double', 'int', 'unsigned', 'unsigned int', 'long', 'unsigned long',
    'long long', 'unsigned long long', 'size_t', 'ssize_t', 'off_t', 'pid_t', 'uintptr_t',
    'intptr_t',
    'int8_t', 'int16_t', 'int32_t', 'int64_t', 'uint8_t', 'uint16_t', 'uint32_t', 'uint64_t',
    'const char *', 'void *', 'const void *',
}

EVENT = re.compile(r'^(?P<name>[a-z][a-z0-9_]*)\((?P<args>[^()]*)\)\s*(?P<fmt>.*)$')
ARGUMENT = re.compile(r'^(?P<type>.*?[\s*])(?P<name>[A-Za-z_][A-Za-z0-9_]*)$')
# One or more C strings and PRI macros.
PIECE = r'(?:"(?:[^"\\]|\\.)*"|PRI[A-Za-z0-9]+)'
FORMAT = re.compile(rf'^{PIECE}(?:\s*{PIECE})*$')

BANNER = ('/* SPDX-License-Identifier: GPL-2.0-or-later */\n'
          '/* Made by scripts/tracetool.py from {}; do not edit. */\n')


class BadInput(Exception):
    """A malformed line; the message says what to write instead."""


def parse_argument(text):
    """("TYPE", "NAME") of one argument."""
    match = ARGUMENT.match(text)
    if not match:
        raise BadInput(f"argument '{text}' is not TYPE NAME")
    ctype = re.sub(r'\s*\*', ' *', ' '.join(match['type'].split()))
    if ctype not in TYPES:
        raise BadInput(f"type '{ctype}' of argument '{match['name']}' is not known; use one of: "
                       f"{', '.join(sorted(TYPES))}")
    return ctype, match['name']


def parse_event(line):
    """(name, [(type, name)...], format) of one line."""
    match = EVENT.match(line)
    if not match:
        raise BadInput('write NAME(TYPE ARG, ...) "text"; a name is lower-case letters, digits '
                       'and _')
    text = match['args'].strip()
    if not text:
        raise BadInput('an event without arguments is NAME(void) "text"')
    args = [] if text == 'void' else [parse_argument(arg.strip()) for arg in text.split(',')]
    names = [name for _, name in args]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"argument '{name}' is there twice")
    fmt = match['fmt'].strip()
    if not FORMAT.match(fmt):
        raise BadInput(f'the text {fmt} is not a C string ("..." and PRI macros)')
    if fmt == '""':
        raise BadInput('the text is empty')
    if r'\n' in fmt:
        raise BadInput(r'the text has a \n; an event is one line')
    return match['name'], args, fmt


def read_events(path):
    """All events of file PATH as (line number, name, args, format); a bad line ends the program."""
    events = []
    lines_of = {}
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, 1):
            line = line.strip()
            if not line or line.startswith('#'):
                continue
            try:
                if not line.isascii():
                    raise BadInput('write ASCII only')
                name, args, fmt = parse_event(line)
                if name in lines_of:
                    raise BadInput(f"event '{name}' is already in line {lines_of[name]}")
            except BadInput as err:
                sys.exit(f'{path}:{number}: error: {err}')
            lines_of[name] = number
            events.append((number, name, args, fmt))
    return events


def identifier(group):
    """GROUP ("hw-scsi") as a part of a C name."""
    return re.sub(r'[^A-Za-z0-9]', '_', group)


def c_string(path):
    return path.replace('\\', '\\\\').replace('"', '\\"')


def write_header(out, group, source, events):
    ident = identifier(group)
    out.write(BANNER.format(source))
    out.write(f'#ifndef TRACE_{ident.upper()}_H\n#define TRACE_{ident.upper()}_H\n\n')
    out.write('#include <inttypes.h>\n#include <stdbool.h>\n#include <sys/types.h>\n'
              '#include "util/trace.h"\n\n')
    out.write(f'extern TraceEvent *const trace_events_{ident}[];\n')
    for number, name, args, fmt in events:
        params = ', '.join(f'{ctype}{"" if ctype.endswith("*") else " "}{arg}'
                           for ctype, arg in args)
        call = ''.join(f', {arg}' for _, arg in args)
        out.write(f'\nextern TraceEvent trace_event_{name};\n'
                  f'static inline void trace_{name}({params or "void"})\n{{\n'
                  f'    if (trace_event_on(&trace_event_{name})) {{\n'
                  f'#line {number} "{c_string(source)}"\n'
                  f'        trace_emit(&trace_event_{name}, {fmt}{call});\n'
                  f'    }}\n}}\n')
    out.write('\n#endif\n')


def write_definitions(out, group, source, header, events):
    out.write(BANNER.format(source))
    out.write(f'#include <stddef.h>\n#include "{os.path.basename(header)}"\n\n')
    for _, name, _, _ in events:
        out.write(f'TraceEvent trace_event_{name} = {{ .name = "{name}" }};\n')
    out.write(f'\nTraceEvent *const trace_events_{identifier(group)}[] = {{\n')
    for _, name, _, _ in events:
        out.write(f'    &trace_event_{name},\n')
    out.write('    NULL\n};\n')


def write_table(out, groups):
    out.write(BANNER.format('trace/meson.build'))
    out.write('#include <stddef.h>\n#include "util/trace.h"\n')
    out.write(''.join(f'#include "trace/{group}.h"\n' for group in groups))
    out.write('\nTraceEvent *const *const trace_event_tables[] = {\n')
    out.write(''.join(f'    trace_events_{identifier(group)},\n' for group in groups))
    out.write('    NULL\n};\n')


def main(argv):
    if len(argv) == 6 and argv[1] == 'events':
        group, source, header, definitions = argv[2:]
        events = read_events(source)
        with open(header, 'w', encoding='ascii') as out:
            write_header(out, group, source, events)
        with open(definitions, 'w', encoding='ascii') as out:
            write_definitions(out, group, source, header, events)
    elif len(argv) >= 3 and argv[1] == 'table':
        with open(argv[2], 'w', encoding='ascii') as out:
            write_table(out, [directory.replace('/', '-') for directory in argv[3:]])
    else:
        sys.exit(__doc__)


if __name__ == '__main__':
    main(sys.argv)
