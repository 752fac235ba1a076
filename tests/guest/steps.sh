# SPDX-License-Identifier: GPL-2.0-or-later
# Shell functions that every step of a witness guest may use.
# Runs in: neither program; sourced by /init's steps in a guest of stock QEMU.

# load_drivers N: load the SCSI drivers and wait, at most 30 s, until N SCSI devices are there.
load_drivers() {
    modprobe sg && modprobe sd_mod && modprobe sr_mod && modprobe sym53c8xx || return 1
    wait_devices "$1"
}

# load_ext4: crc32c first, because ext4 asks for it by an alias that this small modules.dep lacks.
load_ext4() {
    modprobe crc32c_generic && modprobe ext4
}

# wait_devices N: wait, at most 30 s, until N SCSI devices are there and their block devices too.
wait_devices() {
    for _ in $(seq 300); do
        there=$(ls -d /sys/bus/scsi/devices/*:*:*:*/block/* 2>/dev/null | wc -l)
        [ "$there" -eq "$1" ] && return 0
        sleep 0.1
    done
    echo "only these SCSI devices after 30 s:"
    ls /sys/bus/scsi/devices
    return 1
}

# disk ID [LUN]: the block device of a SCSI target, for example /dev/sda.
disk() {
    for block in /sys/bus/scsi/devices/*:0:"$1":"${2:-0}"/block/*; do
        echo "/dev/${block##*/}"
    done
}

# sg ID [LUN]: the generic device of a SCSI target, for example /dev/sg0.
sg() {
    for generic in /sys/bus/scsi/devices/*:0:"$1":"${2:-0}"/scsi_generic/*; do
        echo "/dev/${generic##*/}"
    done
}

drop_caches() {
    sync
    echo 3 >/proc/sys/vm/drop_caches
}

# digest FILE...: SHA-256 sums only, one a line.
digest() {
    sha256sum "$@" | cut -d' ' -f1
}

# ask WHAT: the host is asked for WHAT, and has done it when this returns.
ask() {
    exec 5</dev/ttyS1
    echo "@@please $1"
    read -r _ <&5
    exec 5<&-
}

# rescan: looks for new disks on all SCSI hosts.
rescan() {
    for host in /sys/class/scsi_host/host*; do
        echo "- - -" >"$host/scan"
    done
}

# poll SECONDS COMMAND...: repeats the command until it succeeds; fails when it has not by then.
poll() {
    seconds=$1
    shift
    for _ in $(seq $((seconds * 10))); do
        "$@" && return 0
        sleep 0.1
    done
    echo "not within $seconds s: $*"
    return 1
}
