# SPDX-License-Identifier: GPL-2.0-or-later
# QMP commands about objects, devices and PCI: shapes and errors, in both programs and in stock QEMU.
# Runs in: neither program; drives mpqemu, qemu-remote and stock QEMU from outside.
"""Each body runs on mpqemu and on qemu-remote; those that compare names and shapes run on stock's x-remote too."""

import contextlib

import pytest

from hotplug_rig import Process

IMAGE_SIZE = 1 << 20
MAIN, REMOTE, STOCK = "mpqemu", "qemu-remote", "stock"
OURS = [MAIN, REMOTE]
LSI_REGIONS = [
    {"bar": 0, "type": "io", "address": -1, "size": 256},
    {"bar": 1, "type": "memory", "address": -1, "size": 1024, "prefetch": False, "mem_type_64": False},
    {"bar": 2, "type": "memory", "address": -1, "size": 8192, "prefetch": False, "mem_type_64": False},
]


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(IMAGE_SIZE))
    return str(path)


@pytest.fixture
def start(request, tmp_path, image, main_program, remote_program):
    """start(NAME, *OPTIONS): a running program with a monitor, a node "n0" and a controller "lsi0"."""
    programs = {MAIN: [main_program, "-machine", "pc", "-nodefaults", "-accel", "qtest"],
                REMOTE: [remote_program, "-machine", "x-remote", "-sandbox", "off"]}  # it makes memory
    with contextlib.ExitStack() as stack:
        def start(name, *options):
            if name == STOCK:
                programs[STOCK] = [request.getfixturevalue("stock_program"), "-machine", "x-remote", "-nodefaults",
                                   "-display", "none"]
            node = f"driver=file,node-name=n0,filename={image}"
            return stack.enter_context(Process([*programs[name], "-blockdev", node, "-device", "lsi53c895a,id=lsi0",
                                                *options], tmp_path))
        yield start


@pytest.fixture(params=OURS)
def program(request, start):
    return start(request.param)


@pytest.fixture(params=[*OURS, STOCK])
def any_program(request, start):
    return start(request.param)


def names(program, path):
    return {entry["name"]: entry["type"] for entry in program.ok("qom-list", path=path)}


# ---------------------------------------------------------------------------------- objects and properties

def test_tree_is_listed_with_types(any_program):
    assert names(any_program, "/")["machine"].startswith("child<")
    assert names(any_program, "/machine")["peripheral"] == "child<container>"
    assert names(any_program, "/machine/peripheral") == {"type": "string", "lsi0": "child<lsi53c895a>"}
    assert names(any_program, "peripheral") == names(any_program, "/machine/peripheral")
    lsi = names(any_program, "lsi0")
    assert (lsi["type"], lsi["realized"], lsi["hotplugged"], lsi["multifunction"], lsi["lsi0.0"]) == \
        ("string", "bool", "bool", "bool", "child<SCSI>")


def test_disk_properties_have_the_types_of_stock(any_program):
    any_program.ok("device_add", driver="scsi-hd", drive="n0", id="hd0")
    types = names(any_program, "hd0")
    expected = {"drive": "str", "serial": "str", "logical_block_size": "size", "lun": "uint32", "wwn": "uint64",
                "rotation_rate": "uint16", "removable": "bool", "write-cache": "OnOffAuto",
                "rerror": "BlockdevOnError", "werror": "BlockdevOnError", "discard_granularity": "size"}
    assert {name: types.get(name) for name in expected} == expected


def test_properties_are_read(any_program):
    any_program.ok("device_add", driver="scsi-hd", drive="n0", id="hd0", serial="S-1", **{"scsi-id": 2})
    for path, name, value in [("lsi0", "type", "lsi53c895a"), ("lsi0", "realized", True), ("lsi0", "hotplugged", False),
                              ("hd0", "hotplugged", True), ("/machine/peripheral/hd0", "serial", "S-1"),
                              ("hd0", "scsi-id", 2), ("hd0", "rerror", "auto"), ("hd0", "logical_block_size", 512),
                              ("hd0", "removable", False), ("hd0", "drive", "n0"),
                              ("lsi0", "lsi0.0", "/machine/peripheral/lsi0/lsi0.0"),
                              ("/machine", "peripheral", "/machine/peripheral")]:
        assert any_program.ok("qom-get", path=path, property=name) == value, (path, name)


@pytest.mark.parametrize("command, args, error_class, words", [
    ("qom-list", {"path": "/nope"}, "DeviceNotFound", ["/nope", "not found"]),
    ("qom-list", {"path": "../machine"}, "DeviceNotFound", ["not found"]),
    ("qom-list", {"path": "/machine/.."}, "DeviceNotFound", ["not found"]),
    ("qom-list", {"path": "/machine/\u0001\u00e4\u20ac%s%n"}, "DeviceNotFound", ["not found"]),
    ("qom-list", {"path": "a" * 5000}, "DeviceNotFound", ["not found"]),
    ("qom-get", {"path": "nope", "property": "type"}, "DeviceNotFound", ["'nope'"]),
    ("qom-get", {"path": "lsi0", "property": "nope"}, "GenericError", ["'lsi53c895a.nope' not found"]),
    ("qom-get", {"path": "lsi0", "property": ""}, "GenericError", ["not found"]),
    ("qom-get", {"path": "lsi0", "property": "b" * 500000}, "GenericError", ["not found"]),
    ("qom-set", {"path": "nope", "property": "type", "value": 1}, "DeviceNotFound", ["'nope'"]),
    ("qom-set", {"path": "lsi0", "property": "nope", "value": 1}, "GenericError", ["'lsi53c895a.nope' not found"]),
    ("qom-set", {"path": "lsi0", "property": "type", "value": "x"}, "GenericError", ["not writable"]),
    ("qom-set", {"path": "hd0", "property": "lun", "value": 1}, "GenericError", ["lun"]),
    ("qom-set", {"path": "hd0", "property": "lun", "value": -1}, "GenericError", ["lun"]),
    ("qom-set", {"path": "hd0", "property": "serial", "value": "x"}, "GenericError", ["serial"]),
])
def test_errors_of_properties(any_program, command, args, error_class, words):
    any_program.ok("device_add", driver="scsi-hd", drive="n0", id="hd0")
    desc = any_program.fails(error_class, command, **args)
    for word in words:
        assert word in desc
    assert any_program.ok("qom-get", path="hd0", property="lun") == 0


@pytest.mark.parametrize("value", [1.5, 1e300, -1e300, 1 << 62, -(1 << 62), None, [], {}, "1", "on", True])
@pytest.mark.parametrize("name", ["lun", "realized", "serial", "rerror", "multifunction", "type"])
def test_no_value_changes_a_device_at_work(program, name, value):
    program.ok("device_add", driver="scsi-hd", drive="n0", id="hd0")
    before = {key: program.ok("qom-get", path="hd0", property=key) for key in ("lun", "realized", "serial", "rerror")}
    program.fails("GenericError", "qom-set", path="hd0", property=name, value=value)
    assert {key: program.ok("qom-get", path="hd0", property=key) for key in before} == before


def test_ambiguous_and_unfinished_names(program):
    program.ok("device_add", driver="lsi53c895a", id="twin")
    program.ok("object-add", **{"qom-type": "memory-backend-memfd", "id": "twin", "size": 4096})
    assert "'twin' is ambiguous" in program.fails("GenericError", "qom-list", path="twin")
    assert names(program, "peripheral/twin")["type"] == "string"
    program.fails("DeviceNotFound", "qom-list", path="")


def test_types_are_listed(any_program):
    def listed(**args):
        return {entry["name"]: entry for entry in any_program.ok("qom-list-types", **args)}

    disks = listed(implements="scsi-disk-base")
    assert disks["scsi-hd"] == {"name": "scsi-hd", "parent": "scsi-disk-base"}
    assert {"scsi-hd", "scsi-cd"} <= set(disks) and "scsi-disk-base" not in disks
    every = listed(implements="scsi-device", abstract=True)
    assert every["scsi-device"] == {"name": "scsi-device", "parent": "device", "abstract": True}
    assert listed(implements="nope") == {}
    assert "memory-backend-memfd" in listed(implements="user-creatable")
    assert "lsi53c895a" in listed() and "device" not in listed()


def test_properties_of_a_type_are_listed(any_program):
    properties = {entry["name"]: entry for entry in any_program.ok("device-list-properties", typename="scsi-hd")}
    for name, kind, default in [("lun", "uint32", None), ("removable", "bool", False),
                                ("rerror", "BlockdevOnError", "auto"),
                                ("logical_block_size", "size", 0), ("discard_granularity", "size", 4294967295)]:
        assert properties[name]["type"] == kind
        assert default is None or properties[name]["default-value"] == default
    assert "default-value" not in properties["serial"] and "realized" not in properties
    any_program.fails("DeviceNotFound", "device-list-properties", typename="nope")
    for name in ("scsi-device", "memory-backend-memfd", "device"):
        any_program.fails("GenericError", "device-list-properties", typename=name)


# ---------------------------------------------------------------------------------- objects of the user

def test_memory_backends_come_and_go(program):
    fds = program.open_descriptors()
    for _ in range(200):
        program.ok("object-add", **{"qom-type": "memory-backend-memfd", "id": "m0", "size": 1 << 20})
        assert names(program, "/objects")["m0"] == "child<memory-backend-memfd>"
        assert program.ok("qom-get", path="/objects/m0", property="size") == 1 << 20
        program.ok("object-del", id="m0")
    assert program.open_descriptors() == fds
    assert program.mappings("memfd:") == program.mappings("memfd:pc.ram")
    program.fails("GenericError", "object-del", id="m0")


@pytest.mark.parametrize("args, words", [
    ({"qom-type": "nope", "id": "m0"}, ["nope"]),
    ({"qom-type": "lsi53c895a", "id": "m0"}, ["lsi53c895a"]),
    ({"qom-type": "memory-backend", "id": "m0", "size": 4096}, ["memory-backend"]),
    ({"qom-type": "memory-backend-memfd", "id": "m0"}, ["size"]),
    ({"qom-type": "memory-backend-memfd", "id": "m0", "size": -1}, ["size"]),
    ({"qom-type": "memory-backend-memfd", "id": "m0", "size": 1 << 62}, ["m0"]),
    ({"qom-type": "memory-backend-memfd", "id": "m0", "size": 4095}, ["size"]),
    ({"qom-type": "memory-backend-memfd", "id": "9", "size": 4096}, ["id"]),
    ({"qom-type": "memory-backend-memfd", "id": "", "size": 4096}, ["id"]),
    ({"qom-type": "memory-backend-memfd", "id": "../x", "size": 4096}, ["id"]),
    ({"qom-type": "memory-backend-memfd", "id": "a" * 128, "size": 4096}, ["id"]),
    ({"qom-type": "memory-backend-memfd", "id": "m0", "size": 4096, "nope": 1}, ["nope"]),
    ({"qom-type": "memory-backend-memfd", "id": "m0", "size": 4096, "a b": 1}, ["a b"]),
    ({"qom-type": "memory-backend-memfd", "id": "m0", "size": None}, ["size"]),
    ({"qom-type": "memory-backend-memfd", "id": "m0", "size": {"a": [1, 2]}}, ["size"]),
    ({"qom-type": "memory-backend-file", "id": "m0", "size": 4096, "mem-path": "/nope/x"}, ["/nope/x"]),
    ({"qom-type": "memory-backend-file", "id": "m0", "size": 4096}, ["mem-path"]),
])
def test_refused_objects_leave_nothing(program, args, words):
    fds = program.open_descriptors()
    desc = program.fails("GenericError", "object-add", **args)
    for word in words:
        assert word in desc
    assert "m0" not in names(program, "/objects")
    assert program.open_descriptors() == fds


def test_id_of_an_object_is_taken_once(program):
    program.ok("object-add", **{"qom-type": "memory-backend-memfd", "id": "a" * 127, "size": 4096})
    program.fails("GenericError", "object-add", **{"qom-type": "memory-backend-memfd", "id": "a" * 127, "size": 4096})
    program.fails("GenericError", "object-add", **{"qom-type": "memory-backend-memfd", "id": "type", "size": 4096})
    program.ok("object-del", id="a" * 127)


@pytest.mark.parametrize("id", ["nope", "", "/objects", "/objects/m0", "..", "lsi0", "type"])
def test_deletion_of_no_object(program, id):
    program.ok("object-add", **{"qom-type": "memory-backend-memfd", "id": "m0", "size": 4096})
    assert "not found" in program.fails("GenericError", "object-del", id=id)
    assert "m0" in names(program, "/objects")


def test_memory_of_the_machine_stays(start):
    assert "in use" in start(MAIN).fails("GenericError", "object-del", id="pc.ram")


# ---------------------------------------------------------------------------------- devices

def test_devices_come_and_go(any_program):
    any_program.ok("device_add", driver="scsi-hd", drive="n0", id="hd0", bus="lsi0.0")
    assert names(any_program, "/machine/peripheral") == \
        {"type": "string", "lsi0": "child<lsi53c895a>", "hd0": "child<scsi-hd>"}
    any_program.ok("device_del", id="hd0")
    assert any_program.deleted() == ("hd0", "/machine/peripheral/hd0")
    any_program.ok("device_add", driver="scsi-hd", drive="n0", id="hd0", **{"scsi-id": 3})
    any_program.ok("device_del", id="/machine/peripheral/hd0")
    assert any_program.deleted() == ("hd0", "/machine/peripheral/hd0")
    assert "hd0" not in names(any_program, "/machine/peripheral")


def test_devices_without_id(program):
    program.ok("device_add", driver="scsi-hd", drive="n0")
    anonymous = "/machine/peripheral-anon"
    path, = (f"{anonymous}/{name}" for name in names(program, anonymous) if name != "type")
    program.ok("device_del", id=path)
    assert program.deleted() == (None, path)


def test_controller_goes_with_its_disks(program):
    program.ok("device_add", driver="lsi", id="lsi1")
    program.ok("device_add", driver="scsi-hd", drive="n0", id="hd0", bus="lsi1.0")
    program.ok("device_del", id="lsi1")
    assert program.deleted() == ("hd0", "/machine/peripheral/hd0")
    assert program.deleted() == ("lsi1", "/machine/peripheral/lsi1")
    program.ok("device_add", driver="scsi-hd", drive="n0", id="hd0", bus="lsi0.0")      # the drive is free


@pytest.mark.parametrize("args, words", [
    ({"driver": "nope"}, ["'nope'", "not a valid device model name"]),
    ({"driver": ""}, ["not a valid device model name"]),
    ({"driver": "container"}, ["container"]),
    ({"driver": "scsi-device"}, ["scsi-device"]),
    ({"driver": "i440FX"}, ["i440FX"]),
    ({"driver": "ioapic"}, ["ioapic"]),
    ({"driver": "scsi-hd"}, ["drive"]),
    ({"driver": "scsi-hd", "drive": "nope"}, ["nope"]),
    ({"driver": "scsi-hd", "drive": "n0", "id": "lsi0"}, ["lsi0"]),
    ({"driver": "scsi-hd", "drive": "n0", "id": "9"}, ["id"]),
    ({"driver": "scsi-hd", "drive": "n0", "id": ".."}, ["id"]),
    ({"driver": "scsi-hd", "drive": "n0", "bus": "nope"}, ["nope"]),
    ({"driver": "scsi-hd", "drive": "n0", "bus": "/machine"}, ["/machine"]),
    ({"driver": "scsi-hd", "drive": "n0", "bus": "x" * 5000}, ["bus"]),
    ({"driver": "scsi-hd", "drive": "n0", "nope": 1}, ["nope"]),
    ({"driver": "scsi-hd", "drive": "n0", "lun": -1}, ["lun"]),
    ({"driver": "scsi-hd", "drive": "n0", "lun": 1 << 40}, ["lun"]),
    ({"driver": "scsi-hd", "drive": "n0", "lun": 1.5}, ["lun"]),
    ({"driver": "scsi-hd", "drive": "n0", "lun": None}, ["lun"]),
    ({"driver": "scsi-hd", "drive": "n0", "lun": 8}, ["lun"]),
    ({"driver": "scsi-hd", "drive": "n0", "scsi-id": 7}, ["scsi-id"]),
    ({"driver": "scsi-hd", "drive": "n0", "realized": True}, ["realized"]),
    ({"driver": "lsi53c895a", "addr": "1f.8"}, ["addr"]),
    ({"driver": "lsi53c895a", "addr": "20"}, ["addr"]),
    ({"driver": "lsi53c895a", "addr": {"a": 1}}, ["addr"]),
    ({"driver": "lsi53c895a", "bus": "lsi0.0"}, ["lsi0.0"]),
    ({"driver": "lsi53c895a", **{f"p{i}": i for i in range(3000)}}, ["1024"]),
])
def test_refused_devices_leave_nothing(program, args, words):
    before, fds = names(program, "/machine/peripheral"), program.open_descriptors()
    anonymous = names(program, "/machine/peripheral-anon")
    desc = program.fails("GenericError", "device_add", **args)
    for word in words:
        assert word in desc, desc
    assert names(program, "/machine/peripheral") == before
    assert names(program, "/machine/peripheral-anon") == anonymous
    assert program.open_descriptors() == fds
    program.ok("device_add", driver="scsi-hd", drive="n0", id="hd0")


@pytest.mark.parametrize("id, error_class", [
    ("nope", "DeviceNotFound"), ("", "DeviceNotFound"), ("..", "DeviceNotFound"), ("/nope", "DeviceNotFound"),
    ("/machine/peripheral/../peripheral/lsi0", "DeviceNotFound"), ("/" * 6000, "DeviceNotFound"),
    ("x\u0001\u20ac", "DeviceNotFound"), ("lsi0.0", "DeviceNotFound"),
    ("/", "GenericError"), ("/machine", "GenericError"), ("/machine/peripheral", "GenericError"),
    ("/machine/peripheral/lsi0/lsi0.0", "GenericError"),
])
def test_removal_of_no_device(program, id, error_class):
    program.fails(error_class, "device_del", id=id)
    assert "lsi0" in names(program, "/machine/peripheral")


@pytest.mark.parametrize("path", ["/machine/unattached/i440FX", "/machine/ioapic"])
def test_devices_of_the_board_stay(start, path):
    program = start(MAIN)
    assert "does not support hotplugging" in program.fails("GenericError", "device_del", id=path)
    assert program.ok("qom-get", path=path, property="realized") is True


@pytest.mark.parametrize("command, missing", [
    ("qom-list", "path"), ("qom-get", "path"), ("qom-set", "path"), ("device_add", "driver"), ("device_del", "id"),
    ("object-add", "qom-type"), ("object-del", "id"), ("device-list-properties", "typename")])
def test_missing_argument(program, command, missing):
    assert f"'{missing}' is missing" in program.fails("GenericError", command)


def test_controllers_come_and_go_many_times(program):
    program.ok("device_add", driver="lsi53c895a", id="lsi1")
    program.ok("device_del", id="lsi1")
    program.deleted()
    fds, maps = program.open_descriptors(), program.mappings("memfd:")
    for _ in range(200):
        program.ok("device_add", driver="lsi53c895a", id="lsi1")
        program.ok("device_add", driver="scsi-hd", drive="n0", id="hd0", bus="lsi1.0")
        program.ok("device_del", id="lsi1")
        assert [program.deleted()[0] for _ in range(2)] == ["hd0", "lsi1"]
    assert (program.open_descriptors(), program.mappings("memfd:")) == (fds, maps)


# ---------------------------------------------------------------------------------- PCI

def functions(program):
    bus, = program.ok("query-pci")
    assert bus["bus"] == 0
    return {function["qdev_id"]: function for function in bus["devices"]}   # "": any of the board's


def slots(program):
    """Numbers of the slots in use, by query-pci."""
    bus, = program.ok("query-pci")
    return {function["slot"] for function in bus["devices"]}


def test_pci_shape_is_that_of_stock(any_program):
    lsi = functions(any_program)["lsi0"]
    slot = lsi.pop("slot")
    assert lsi["id"].pop("subsystem-vendor") in (0, 0x1000)
    assert lsi == {"bus": 0, "function": 0, "qdev_id": "lsi0", "irq_pin": 1, "irq": 0,
                   "class_info": {"class": 0x100, "desc": "SCSI controller"},
                   "id": {"vendor": 0x1000, "device": 0x12, "subsystem": 0x1000}, "regions": LSI_REGIONS}
    assert slot in (0, 2)


def test_pci_functions_come_and_go(any_program):
    any_program.ok("device_add", driver="lsi53c895a", id="lsi1", addr="1e")
    assert functions(any_program)["lsi1"]["slot"] == 0x1e
    any_program.ok("device_del", id="lsi1")
    any_program.deleted()
    assert "lsi1" not in functions(any_program)
    any_program.fails("GenericError", "device_add", driver="lsi53c895a", addr="20")


def test_board_has_a_host_bridge(start):
    bus, = start(MAIN).ok("query-pci")
    bridge = bus["devices"][0]
    assert (bridge["slot"], bridge["irq_pin"], bridge["regions"]) == (0, 0, [])
    assert bridge["class_info"] == {"class": 0x600, "desc": "Host bridge"}
    assert (bridge["id"]["vendor"], bridge["id"]["device"]) == (0x8086, 0x1237) and "irq" not in bridge


def test_pci_bus_is_filled_to_the_last_slot(program):
    free = 32 - len(slots(program))
    for i in range(free):
        program.ok("device_add", driver="lsi53c895a", id=f"x{i}")
    assert "full" in program.fails("GenericError", "device_add", driver="lsi53c895a", id="one-more")
    program.ok("device_del", id="x3")
    program.ok("device_add", driver="lsi53c895a", id="one-more")
    assert len(slots(program)) == 32


def test_machine_without_a_bus(main_program, tmp_path):
    with Process([main_program, "-machine", "none", "-accel", "qtest"], tmp_path) as program:
        assert program.ok("query-pci") == []
        assert "no 'PCI' bus found" in program.fails("GenericError", "device_add", driver="lsi53c895a")
