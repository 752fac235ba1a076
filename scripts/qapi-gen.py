#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the tables and the reference page of the management interface from the schema below qapi/.

    qapi-gen.py c SCHEMA.json OUT.c        the tables that include/qapi/qapi.h declares
    qapi-gen.py page SCHEMA.json OUT.rst   the reference page
    qapi-gen.py check SCHEMA.json          nothing but the checks

The schema's language is QEMU's.  What is described twice or not at all, and every command, event, type,
member or enum value without a word in its documentation comment, is an error with its place; so is an example that
does not fit the schema.

    { 'include': 'FILE.json' }
    { 'enum': NAME, 'data': [ VALUE, ... ] }
    { 'struct': NAME, ['base': STRUCT,] 'data': MEMBERS[, 'open': true] }
    { 'union': NAME, 'base': STRUCT | MEMBERS, 'discriminator': MEMBER, 'data': { VALUE: STRUCT, ... } }
    { 'alternate': NAME, 'data': { BRANCH: TYPE, ... } }
    { 'command': NAME[, 'data': TYPE | MEMBERS][, 'returns': TYPE][, 'allow-oob': true][, 'allow-preconfig': true]
      [, 'open': true] }
    { 'event': NAME[, 'data': TYPE | MEMBERS] }

MEMBERS is { NAME: TYPE, ... }; '*NAME' may be left out by the sender.  TYPE is a name, or [ NAME ] for an array.
'open': members that are not in the schema are left to the handler.
"""
import json
import os
import re
import sys
import textwrap

INT64_MIN, INT64_MAX, UINT64_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
# name -> (kind, min, max, what the reference page says)
BUILTINS = {
    'str': ('STR', 0, 0), 'number': ('NUMBER', 0, 0), 'bool': ('BOOL', 0, 0), 'null': ('NULL', 0, 0),
    'any': ('ANY', 0, 0), 'int': ('INT', INT64_MIN, 0), 'size': ('INT', 0, 0),
    **{f'int{bits}': ('INT', -(1 << (bits - 1)), (1 << (bits - 1)) - 1 if bits < 64 else 0)
       for bits in (8, 16, 32, 64)},
    **{f'uint{bits}': ('INT', 0, (1 << bits) - 1 if bits < 64 else 0) for bits in (8, 16, 32, 64)},
}
NAME = re.compile(r'[A-Za-z][A-Za-z0-9_-]*\Z')
TOKEN = re.compile(r"""(?P<doc>\#\#\n(?:\#[^\n]*\n)*?\#\#(?=\n|\Z)) | \#[^\n]* | (?P<newline>\n) | \s+
                       | (?P<punct>[{}\[\]:,]) | '(?P<string>[^'\n\\]*)' | (?P<word>true|false)""", re.X)
# The keys of each kind of definition; those of the second tuple may be left out.
KEYS = {
    'include': ((), ()), 'enum': (('data',), ()), 'struct': (('data',), ('base', 'open')),
    'union': (('base', 'discriminator', 'data'), ()), 'alternate': (('data',), ()),
    'command': ((), ('data', 'returns', 'allow-oob', 'allow-preconfig', 'open')), 'event': ((), ('data',)),
}


class SchemaError(Exception):
    """A mistake in the schema; PLACE is FILE:LINE."""

    def __init__(self, place, text):
        super().__init__(f'{place}: error: {text}')


# ---- reading ---------------------------------------------------------------------------------------


def tokens_of(path, text):
    """(line, kind, value) of each token of a schema file."""
    line, pos = 1, 0
    while pos < len(text):
        match = TOKEN.match(text, pos)
        if not match or match.end() == pos:
            raise SchemaError(f'{path}:{line}',
                              f"'{text[pos:pos + 20].splitlines()[0]}' is not of the schema's language")
        if match.lastgroup and match.lastgroup != 'newline':
            yield line, match.lastgroup, match.group(match.lastgroup)
        line += match.group().count('\n')
        pos = match.end()


class Reader:
    """The definitions of one file, in order: (place, doc or None, expression)."""

    def __init__(self, path):
        self.path = path
        with open(path, encoding='ascii') as file:
            self.tokens = list(tokens_of(path, file.read()))
        self.pos = 0

    def place(self):
        return f'{self.path}:{self.tokens[min(self.pos, len(self.tokens) - 1)][0]}'

    def take(self, *wanted):
        """The next token's (kind, value); its value must be of WANTED when that is not empty."""
        if self.pos == len(self.tokens):
            raise SchemaError(self.place(), 'the file ends inside a definition')
        _, kind, value = self.tokens[self.pos]
        if wanted and (kind == 'string' or value not in wanted):
            raise SchemaError(self.place(), f"'{value}' stands where {' or '.join(wanted)} should")
        self.pos += 1
        return kind, value

    def string(self):
        kind, value = self.take()
        if kind != 'string':
            raise SchemaError(self.place(), f"'{value}' stands where a 'string' should")
        return value

    def sequence(self, end, item):
        """Calls ITEM for each element up to bracket END."""
        if self.pos < len(self.tokens) and self.tokens[self.pos][1:] == ('punct', end):
            self.take()
            return
        while True:
            item()
            if self.take(',', end)[1] == end:
                return

    def value(self):
        kind, value = self.take()
        if kind == 'string':
            return value
        if kind == 'word':
            return value == 'true'
        if value == '[':
            result = []
            self.sequence(']', lambda: result.append(self.value()))
            return result
        if value != '{':
            self.pos -= 1
            raise SchemaError(self.place(), f"'{value.splitlines()[0]}' stands where a value should")
        result = {}

        def member():
            name = self.string()
            self.take(':')
            if name in result:
                raise SchemaError(self.place(), f"'{name}' is there twice")
            result[name] = self.value()
        self.sequence('}', member)
        return result

    def __iter__(self):
        doc = None
        while self.pos < len(self.tokens):
            place = self.place()
            if self.tokens[self.pos][1] == 'doc':
                if doc:
                    raise SchemaError(doc.place, 'the comment belongs to no definition')
                doc = Doc(place, self.take()[1])
                if doc.heading:
                    yield place, doc, None
                    doc = None
                continue
            expr = self.value()
            if not isinstance(expr, dict):
                raise SchemaError(place, 'a definition is an object')
            yield place, doc, expr
            doc = None
        if doc:
            raise SchemaError(doc.place, 'the comment belongs to no definition')


class Doc:
    """A documentation comment between ## and ##.

    # @NAME:, text, # @MEMBER: text, # Returns: text, # Errors: text, # Example: text

    One that begins with "= TITLE" is a heading of the page with text below it.
    """

    def __init__(self, place, text):
        self.place = place
        lines = [line[2:] if line.startswith('# ') else line[1:] for line in text.split('\n')[1:-1]]
        self.heading = lines[0][2:].strip() if lines and lines[0].startswith('= ') else None
        self.name, self.text, self.members, self.tags = None, [], {}, {}
        if self.heading:
            self.text = lines[1:]
            return
        match = re.match(r'@(\S+):\s*$', lines[0]) if lines else None
        if not match:
            raise SchemaError(place, "a documentation comment begins with '# @NAME:'")
        self.name = match[1]
        section = self.text
        for line in lines[1:]:
            member = re.match(r'@(\S+):\s*(.*)$', line)
            tag = re.match(r'(Returns|Errors|Example):\s*(.*)$', line)
            if member or tag:
                name, rest = (member or tag).groups()
                sections = self.members if member else self.tags
                if name in sections:
                    raise SchemaError(place, f"'{name}' is described twice")
                section = sections[name] = [rest] if rest else []
            else:
                section.append(line)


# ---- the schema ------------------------------------------------------------------------------------


class Type:
    """A type: name, kind of QapiKind, and what the kind needs."""

    def __init__(self, name, kind, place=None, doc=None, **more):
        self.name, self.kind, self.place, self.doc = name, kind, place, doc
        self.members = []           # (name, Type, optional), without the base's
        self.values, self.variants = [], []
        self.base = self.tag = self.element = None
        self.open = self.implicit = False
        self.min = self.max = 0
        self.__dict__.update(more)

    def all_members(self):
        return (self.base.all_members() if self.base else []) + self.members

    def json_type(self):
        """What tells branches of an alternate apart."""
        return {'ENUM': 'STR', 'INT': 'NUMBER'}.get(self.kind, self.kind)


class Schema:
    def __init__(self, path):
        self.types = {name: Type(name, kind, min=low, max=high) for name, (kind, low, high) in BUILTINS.items()}
        self.commands, self.events = {}, {}
        self.sections = []                # (heading Doc, [(kind, name)]) of the page
        self.empty = self.types['q_empty'] = Type('q_empty', 'OBJECT', implicit=True)
        self.todo = []
        self.read_files = []
        self.read(path)
        for complete in self.todo:
            complete()
        for type_ in list(self.types.values()):
            self.check(type_)
        for item in (*self.commands.values(), *self.events.values()):
            self.check_example(item)

    def read(self, path):
        if path in self.read_files:
            return
        self.read_files.append(path)
        for place, doc, expr in Reader(path):
            if expr is None:
                self.sections.append((doc, []))
                continue
            kind = next((key for key in KEYS if key in expr), None)
            if kind is None:
                raise SchemaError(place, f'a definition is one of: {", ".join(KEYS)}')
            name, (needed, possible) = expr[kind], KEYS[kind]
            for key in needed:
                if key not in expr:
                    raise SchemaError(place, f"{kind} '{name}' has no '{key}'")
            for key in expr:
                if key not in (kind, *needed, *possible):
                    raise SchemaError(place, f"'{key}' is nothing that a {kind} has")
            if kind == 'include':
                self.read(os.path.join(os.path.dirname(path), name))
                continue
            self.define(place, doc, kind, name, expr)

    def define(self, place, doc, kind, name, expr):
        if not isinstance(name, str) or not NAME.match(name):
            raise SchemaError(place, f"'{name}' is no name: letters, digits, - and _")
        if doc is None or doc.name != name:
            raise SchemaError(place, f"{kind} '{name}' has no documentation comment of its own")
        table = {'command': self.commands, 'event': self.events}.get(kind, self.types)
        if name in table:
            raise SchemaError(place, f"'{name}' is defined twice")
        if not self.sections:
            raise SchemaError(place, "a heading ('# = TITLE') must come first")
        self.sections[-1][1].append((kind, name))
        table[name] = item = Type(name, 'ENUM' if kind == 'enum' else 'ALTERNATE' if kind == 'alternate' else 'OBJECT',
                                  place, doc)
        item.meta = kind
        item.open = expr.get('open', False)
        self.todo.append(lambda: getattr(self, 'complete_' + kind)(item, expr))

    def type(self, place, ref):
        """The type that REF of the schema means."""
        if isinstance(ref, list):
            if len(ref) != 1 or not isinstance(ref[0], str):
                raise SchemaError(place, "an array type is [ 'NAME' ]")
            name = f'[{ref[0]}]'
            if name not in self.types:
                self.types[name] = Type(name, 'ARRAY', element=self.type(place, ref[0]))
            return self.types[name]
        if not isinstance(ref, str) or ref not in self.types:
            raise SchemaError(place, f"there is no type '{ref}'")
        return self.types[ref]

    def members(self, item, data):
        if not isinstance(data, dict):
            raise SchemaError(item.place, f"the members of '{item.name}' are an object")
        result = []
        for name, ref in data.items():
            plain = name.removeprefix('*')
            if not NAME.match(plain):
                raise SchemaError(item.place, f"'{name}' is no name: letters, digits, - and _")
            result.append((plain, self.type(item.place, ref), plain != name))
        return result

    def complete_enum(self, item, expr):
        item.values = expr['data']
        for value in item.values:
            if not isinstance(value, str) or item.values.count(value) > 1:
                raise SchemaError(item.place, f"value '{value}' of '{item.name}' is no string, or is there twice")

    def complete_struct(self, item, expr):
        item.members = self.members(item, expr['data'])
        if 'base' in expr:
            item.base = self.type(item.place, expr['base'])

    def complete_union(self, item, expr):
        if isinstance(expr['base'], dict):
            item.members = self.members(item, expr['base'])
        else:
            item.base = self.type(item.place, expr['base'])
        item.tag = expr['discriminator']
        item.variants = [(name, self.type(item.place, ref)) for name, ref in expr['data'].items()]

    def complete_alternate(self, item, expr):
        item.variants = [(name, self.type(item.place, ref)) for name, ref in expr['data'].items()]
        kinds = [type_.json_type() for _, type_ in item.variants]
        if len(set(kinds)) < len(kinds) or {'ANY', 'ALTERNATE'} & set(kinds):
            raise SchemaError(item.place, f"the branches of '{item.name}' cannot be told apart")

    def arguments(self, item, expr):
        """The type of a command's or event's 'data'."""
        data = expr.get('data', {})
        if not isinstance(data, dict):
            return self.type(item.place, data)
        if not data and not item.open:
            return self.empty
        name = f'q_obj_{item.name}-arg'
        args = Type(name, 'OBJECT', item.place, item.doc, open=item.open, implicit=True)
        args.members = self.members(item, data)
        self.types[name] = args
        return args

    def complete_command(self, item, expr):
        item.args = self.arguments(item, expr)
        item.returns = self.type(item.place, expr['returns']) if 'returns' in expr else None
        item.allow_oob = expr.get('allow-oob', False)
        item.allow_preconfig = expr.get('allow-preconfig', False)
        self.check_call(item)
        if item.returns and 'Returns' not in item.doc.tags:
            raise SchemaError(item.doc.place, f"the comment of '{item.name}' does not say what it returns (Returns:)")

    def complete_event(self, item, expr):
        item.args = self.arguments(item, expr)
        self.check_call(item)

    def check_call(self, item):
        if item.args.kind != 'OBJECT':
            raise SchemaError(item.place, f"the data of '{item.name}' is no object")
        if not item.args.implicit or item.args is self.empty:
            self.check_documented(item, [])

    @staticmethod
    def check_documented(item, names):
        for name in names:
            if not any(line.strip() for line in item.doc.members.get(name, ())):
                raise SchemaError(item.doc.place,
                                  f"'{name}' of '{item.doc.name}' is not documented; write '# @{name}: TEXT'")
        for name in item.doc.members:
            if name not in names:
                raise SchemaError(item.doc.place,
                                  f"the comment of '{item.doc.name}' describes '{name}', which is not there")

    def check(self, item):
        """What can be looked at only when all types are complete."""
        if item.base and (item.base.kind != 'OBJECT' or item.base.tag):
            raise SchemaError(item.place, f"the base of '{item.name}' is no struct")
        if item.tag:
            tag = next((type_ for name, type_, optional in item.all_members() if name == item.tag and not optional),
                       None)
            if tag is None or tag.kind != 'ENUM':
                raise SchemaError(item.place,
                                  f"'{item.tag}' is no member of '{item.name}' that is always there and an enum")
            for name, type_ in item.variants:
                if name not in tag.values or type_.kind != 'OBJECT' or type_.tag:
                    raise SchemaError(item.place,
                                      f"branch '{name}' of '{item.name}' is no value of its tag, or no struct")
                self.check_names(item, item.all_members() + type_.all_members())
        self.check_names(item, item.all_members())
        if item.doc:
            variants = item.variants if item.kind == 'ALTERNATE' else []
            self.check_documented(item, [*item.values, *(name for name, *_ in item.members),
                                         *(name for name, _ in variants)])

    def check_example(self, item):
        """The messages of an example are JSON and of the schema, so that a reader can copy them."""
        command = None
        text = '\n'.join(item.doc.tags.get('Example', ()))
        for part in filter(None, map(str.strip, re.split(r'^\s*(?=->|<-)', text, flags=re.M))):
            try:
                message = json.loads(part[2:])
            except ValueError as err:
                raise SchemaError(item.doc.place, f"the example of '{item.name}' is no JSON: {err}") from err
            event = self.events.get(message.get('event'))
            if part.startswith('->'):
                command = self.commands.get(message.get('execute', message.get('exec-oob')))
                good = command and fits(command.args, message.get('arguments', {}))
            elif 'return' in message:
                good = command and fits(command.returns or self.empty, message['return'])
            else:
                good = event and fits(event.args, message.get('data', {})) or 'error' in message
            if not good:
                raise SchemaError(item.doc.place, f"the example of '{item.name}' does not fit the schema: {part}")

    @staticmethod
    def check_names(item, members):
        names = [name for name, *_ in members]
        for name in names:
            if names.count(name) > 1:
                raise SchemaError(item.place, f"member '{name}' of '{item.name}' is there twice")


def fits(type_, value):
    """Whether VALUE (of the json module) is of the type, limits of numbers apart."""
    if type_.kind == 'ALTERNATE':
        return any(fits(branch, value) for _, branch in type_.variants)
    if type_.kind == 'ARRAY':
        return isinstance(value, list) and all(fits(type_.element, element) for element in value)
    if type_.kind == 'ENUM':
        return value in type_.values
    if type_.kind == 'OBJECT':
        if not isinstance(value, dict):
            return False
        branch = dict(type_.variants).get(value.get(type_.tag))
        members = type_.all_members() + (branch.all_members() if branch else [])
        known = {name: member for name, member, _ in members}
        return (all(optional or name in value for name, _, optional in members) and
                all(fits(known[name], part) if name in known else type_.open for name, part in value.items()))
    wanted = {'STR': str, 'BOOL': bool, 'INT': int, 'NUMBER': (int, float), 'NULL': type(None), 'ANY': object}
    wanted = wanted[type_.kind]
    return isinstance(value, wanted) and (type_.kind in ('BOOL', 'ANY') or not isinstance(value, bool))


# ---- C ---------------------------------------------------------------------------------------------


def c_name(type_):
    text = re.sub(r'\[(.*)\]', r'list_\1', type_.name)
    return 'type_' + re.sub(r'[^A-Za-z0-9]', '_', text)


def c_type(out, type_):
    """The tables of one type, and the type."""
    ident = c_name(type_)
    fields = [f'.name = {json.dumps(type_.name)}', f'.kind = QAPI_{type_.kind}']
    if type_.kind == 'INT':
        fields.append('.min = INT64_MIN' if type_.min == INT64_MIN else f'.min = {type_.min}')
        if type_.max:
            fields.append(f'.max = {type_.max}u')
    if type_.kind == 'ENUM':
        out.write(f'static const char *const values_{ident}[] = {{\n')
        out.write(''.join(f'    {json.dumps(value)},\n' for value in type_.values) + '    NULL\n};\n')
        fields.append(f'.values = values_{ident}')
    if type_.kind == 'ARRAY':
        fields.append(f'.element = &{c_name(type_.element)}')
    if type_.kind == 'OBJECT':
        out.write(f'static const QapiMember members_{ident}[] = {{\n')
        for name, member, optional in type_.all_members():
            out.write(f'    {{ "{name}", &{c_name(member)}, {"true" if optional else "false"} }},\n')
        out.write('    { NULL }\n};\n')
        fields.append(f'.members = members_{ident}')
        if type_.open:
            fields.append('.open = true')
    if type_.variants:
        out.write(f'static const QapiVariant variants_{ident}[] = {{\n')
        out.write(''.join(f'    {{ "{name}", &{c_name(branch)} }},\n' for name, branch in type_.variants))
        out.write('    { NULL }\n};\n')
        fields.append(f'.variants = variants_{ident}')
    if type_.tag:
        fields.append(f'.tag = "{type_.tag}"')
    out.write(f'static const QapiType {ident} = {{\n' + ''.join(f'    {field},\n' for field in fields) + '};\n\n')


def reachable(schema):
    """The types that a command or event needs, by name."""
    found = {}

    def visit(type_):
        if type_ and type_.name not in found:
            found[type_.name] = type_
            for _, member, _ in type_.all_members():
                visit(member)
            for _, branch in type_.variants:
                visit(branch)
            visit(type_.element)
    for command in schema.commands.values():
        visit(command.args)
        visit(command.returns)
    for event in schema.events.values():
        visit(event.args)
    for type_ in schema.types.values():
        if type_.place and type_.kind != 'OBJECT' and type_.name not in found:
            raise SchemaError(type_.place, f"nothing uses '{type_.name}'")
    return dict(sorted(found.items()))


def write_c(schema, out):
    types = reachable(schema)
    idents = [c_name(type_) for type_ in types.values()]
    for ident in idents:
        if idents.count(ident) > 1:
            raise SchemaError('schema', f"two types get the C name '{ident}'")
    out.write('/* Made by scripts/qapi-gen.py from qapi/; do not edit. */\n#include "qapi/qapi.h"\n\n')
    out.write(''.join(f'static const QapiType {ident};\n' for ident in idents) + '\n')
    for type_ in types.values():
        c_type(out, type_)
    out.write('const QapiCommand qapi_commands[] = {\n')
    for name, command in sorted(schema.commands.items()):
        returns = f'&{c_name(command.returns)}' if command.returns else 'NULL'
        flags = ''.join(f', .{flag} = true' for flag in ('allow_oob', 'allow_preconfig') if getattr(command, flag))
        out.write(f'    {{ "{name}", &{c_name(command.args)}, {returns}{flags} }},\n')
    out.write('    { NULL }\n};\n\nconst QapiEvent qapi_events[] = {\n')
    for name, event in sorted(schema.events.items()):
        out.write(f'    {{ "{name}", &{c_name(event.args)} }},\n')
    out.write('    { NULL }\n};\n')


# ---- the reference page ----------------------------------------------------------------------------


def rst_type(type_):
    """A type as the page shows it; named ones are links."""
    if type_.kind == 'ARRAY':
        return f'array of {rst_type(type_.element)}'
    if type_.name in BUILTINS:
        return f'``{type_.name}``'
    return f'`{type_.name}`_'


def rst_text(lines, indent=0):
    """Lines of a comment; "@name" is shown as a name."""
    text = re.sub(r'(?<![\w`])@([A-Za-z][\w-]*)', r'``\1``', '\n'.join(line.rstrip() for line in lines).strip('\n'))
    return ''.join(' ' * indent + line + '\n' if line else '\n' for line in text.split('\n'))


def dedent(lines):
    """Text of a section: what stands behind its name, then the lines below, as they are but for their indent."""
    rest = [line for line in lines[1:] if line.strip()]
    indent = min((len(line) - len(line.lstrip()) for line in rest), default=0)
    return [lines[0], *(line[indent:] for line in lines[1:])] if lines else []


def rst_members(out, heading, doc, members):
    if not members:
        return
    out.write(f'{heading}\n\n')
    for name, what in members:
        out.write(f'``{name}``{what}\n' + rst_text(dedent(doc.members[name]), 4) + '\n')


def member_rows(members):
    return [(name, f' ({rst_type(type_)}{", optional" if optional else ""})') for name, type_, optional in members]


def rst_item(out, kind, item):
    title = f'{item.name} ({kind})' if kind in ('command', 'event') else item.name
    out.write(f'{title}\n{"~" * len(title)}\n\n' + rst_text(item.doc.text) + '\n')
    if kind in ('command', 'event'):
        args = item.args
        if args.implicit:
            rst_members(out, 'Arguments:' if kind == 'command' else 'Data:', item.doc, member_rows(args.members))
        else:
            out.write(f'{"Arguments" if kind == "command" else "Data"}: the members of {rst_type(args)}.\n\n')
    elif kind == 'enum':
        rst_members(out, 'Values:', item.doc, [(value, '') for value in item.values])
    elif kind == 'alternate':
        rst_members(out, 'One of:', item.doc, [(name, f' ({rst_type(type_)})') for name, type_ in item.variants])
    else:
        if item.base:
            out.write(f'All members of {rst_type(item.base)}, and:\n\n')
        rst_members(out, 'Members:', item.doc, member_rows(item.members))
        for name, branch in item.variants:
            out.write(f'With ``{item.tag}`` ``{name}`` also the members of {rst_type(branch)}.\n\n')
    if item.open:
        out.write('Further members are allowed; what they mean is told above.\n\n')
    if kind == 'command':
        if item.returns:
            out.write(f'Returns {rst_type(item.returns)}: ' + rst_text(dedent(item.doc.tags['Returns'])).lstrip() +
                      '\n')
        if item.allow_oob:
            out.write('May be run out of band (``exec-oob``).\n\n')
    if 'Errors' in item.doc.tags:
        out.write('Errors: ' + rst_text(dedent(item.doc.tags['Errors'])).lstrip() + '\n')
    if 'Example' in item.doc.tags:
        text = textwrap.dedent('\n'.join(item.doc.tags['Example'])).strip('\n')
        out.write('Example::\n\n' + textwrap.indent(text, '    ') + '\n\n')


PAGE_HEAD = """.. Made by scripts/qapi-gen.py from qapi/; do not edit.

=============
QMP reference
=============

The commands and events of the monitor protocol, in the order of the schema files below ``qapi/``.  ``query-commands``
and ``query-qmp-schema`` tell which of them a running program has.

Types: ``str``, ``bool``, ``null`` and ``any`` are those of JSON; ``int`` is a 64-bit integer, ``int8`` to ``uint64``
and ``size`` one within the limits of the name; ``number`` is any JSON number.

.. contents::
   :depth: 2

"""


def write_page(schema, out):
    used = reachable(schema)
    out.write(PAGE_HEAD)
    for heading, items in schema.sections:
        out.write(f'{heading.heading}\n{"=" * len(heading.heading)}\n\n' + rst_text(heading.text) + '\n')
        for kind, name in items:
            table = {'command': schema.commands, 'event': schema.events}.get(kind, schema.types)
            base = any(type_.base is table[name] for type_ in used.values())
            if kind in ('command', 'event') or name in used or base:
                rst_item(out, kind, table[name])
            else:
                raise SchemaError(table[name].place, f"nothing uses '{name}'")


def main(argv):
    if len(argv) < 3 or (argv[1], len(argv)) not in (('c', 4), ('page', 4), ('check', 3)):
        sys.exit(__doc__)
    try:
        schema = Schema(argv[2])
        write = {'c': write_c, 'page': write_page, 'check': write_page}[argv[1]]
        with open(argv[3] if len(argv) > 3 else os.devnull, 'w', encoding='ascii') as out:
            write(schema, out)
    except SchemaError as err:
        sys.exit(str(err))
    except OSError as err:
        sys.exit(f'{err.filename}: error: {err.strerror}')


if __name__ == '__main__':
    main(sys.argv)
