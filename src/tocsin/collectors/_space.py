"""Which file systems of a host are looked at, and how full they are."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from tocsin.collectors._labelled import labelled
from tocsin.collectors._proc import Mount
from tocsin.core.sample import Service

MOST_MOUNTS = 64
NETWORK = frozenset(
    ("9p", "afs", "beegfs", "ceph", "cifs", "gfs2", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "prl_fs", "smb3",
     "smbfs", "vboxsf", "virtiofs", "vmhgfs")
)  # fmt: skip
_ALWAYS_FULL = frozenset(("squashfs", "iso9660", "udf", "cramfs", "erofs", "romfs"))
_WITH_DISK = frozenset(("zfs", "bcachefs", "btrfs"))  # of disks, though the kernel calls some of them "nodev"
_GIVES_UP = frozenset(("ext2", "ext3", "ext4", "btrfs", "f2fs", "jfs", "nilfs2", "reiserfs"))
"""File systems that the kernel sets to read-only when they are broken."""


def chosen(mounts: Sequence[Mount], nodev: frozenset[str], only: Sequence[str], skip: Sequence[str]) -> list[Mount]:
    """The mounts to look at, by where they are: those that fit `only`, or without such patterns the root and everything
    that lies on a disk; never one that fits `skip`. Of several mounts of one file system the one with the shortest path."""
    visible = {mount.where: mount for mount in mounts}  # what is mounted later hides what was there
    found: dict[str, Mount] = {}
    for mount in sorted(visible.values(), key=lambda m: (len(m.where), m.where)):
        if not _has_a_name(mount.where) or any(fnmatchcase(mount.where, pattern) for pattern in skip):
            continue
        if only:
            wanted = any(fnmatchcase(mount.where, pattern) for pattern in only)
        else:
            wanted = mount.where == "/" or _on_disk(mount, nodev)
        if wanted:
            found.setdefault(mount.where if only else _same(mount), mount)
    return sorted(list(found.values())[:MOST_MOUNTS], key=lambda m: m.where)


def _has_a_name(where: str) -> bool:
    """Whether a series can carry its path."""
    try:
        return bool(labelled("disk.inodes_used_percent", "mount", where)) and where.isprintable()
    except ValueError:
        return False


def _on_disk(mount: Mount, nodev: frozenset[str]) -> bool:
    if mount.fstype in NETWORK or mount.fstype in _ALWAYS_FULL:
        return False
    return mount.fstype in _WITH_DISK or mount.fstype not in nodev


def _same(mount: Mount) -> str:
    """What two mounts of one file system have in common."""
    return mount.source if mount.source.startswith("/dev/") else f"{mount.device} {mount.source}"


def look(root: str, where: str) -> os.statvfs_result | None:
    """The figures of the file system mounted there; None for a single file that something is mounted on. Raises OSError."""
    path = os.path.normpath(root + where)
    return os.statvfs(path) if stat.S_ISDIR(os.stat(path).st_mode) else None


def values(where: str, seen: os.statvfs_result) -> dict[str, float]:
    """The figures as series. Percent is what `df` shows: of what those who are not root may use."""
    size, left = seen.f_blocks * seen.f_frsize, seen.f_bavail * seen.f_frsize
    used = (seen.f_blocks - seen.f_bfree) * seen.f_frsize
    made: dict[str, float] = {}
    if size > 0:
        made[labelled("disk.used_percent", "mount", where)] = 100 * used / (used + left) if used + left > 0 else 100.0
        made[labelled("disk.used_bytes", "mount", where)] = used
        made[labelled("disk.available_bytes", "mount", where)] = left
        made[labelled("disk.total_bytes", "mount", where)] = size
    if seen.f_files > 0 and seen.f_ffree <= seen.f_files:
        of_us = seen.f_files - seen.f_ffree + seen.f_favail
        share = 100 * (seen.f_files - seen.f_ffree) / of_us if of_us > 0 else 100.0
        made[labelled("disk.inodes_used_percent", "mount", where)] = share
        made[labelled("disk.inodes_available", "mount", where)] = seen.f_favail
    return made


def state(mount: Mount, answer: Any, was_written: bool = False) -> Service:
    """The mount as a service: whether it answers, and whether the kernel gave it up. `answer` None: it hangs. `was_written`:
    it could be written to at an earlier look (in a sandbox every mount looks as if it were meant for reading only)."""
    facts: dict[str, str | float | int | bool | None] = {"type": mount.fstype, "source": mount.source}
    if answer is None:
        words = "asking for its size hangs"
        return Service(kind="mount", name=mount.where, state="not answering", ok=False, detail=words, facts=facts)
    if isinstance(answer, PermissionError):
        return Service(kind="mount", name=mount.where, state="not ours to see", facts=facts)
    if isinstance(answer, OSError):
        words = answer.strerror or "it cannot be read"
        return Service(kind="mount", name=mount.where, state="broken", ok=False, detail=words, facts=facts)
    meant_for_writing = "rw" in mount.options or was_written
    if meant_for_writing and "ro" in mount.super_options and mount.fstype in _GIVES_UP:
        words = "it was mounted for writing, and is read-only now"
        return Service(kind="mount", name=mount.where, state="read-only", ok=False, detail=words, facts=facts)
    plain = "read-only" if "ro" in mount.options else "mounted"
    return Service(kind="mount", name=mount.where, state=plain, ok=True, facts=facts)


def all_values(
    mounts: Sequence[Mount], answers: Mapping[str, Any], written: set[str]
) -> tuple[dict[str, float], list[Service]]:
    """Series and services of those mounts, from what asking gave (a mount that is missing there hangs; None: no folder).
    `written` keeps from look to look which could be written to."""
    made: dict[str, float] = {}
    services: list[Service] = []
    for mount in mounts:
        known = mount.where in answers
        answer = answers.get(mount.where)
        if known and answer is None:
            continue
        services.append(state(mount, answer, mount.where in written))
        if "rw" in mount.super_options:
            written.add(mount.where)
        if isinstance(answer, os.statvfs_result):
            made |= values(mount.where, answer)
    return made, services
