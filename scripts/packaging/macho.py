"""Reads the properties of a static library for Apple's platforms: for each architecture the platform it is built for, the oldest system it
runs on, its defined and its undefined names.

Universal files of archives of 64-bit Mach-O objects. Truncated or inconsistent files raise MachOError.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

CPUS = {0x0100000C: "arm64", 0x01000007: "x86_64"}
PLATFORMS = {1: "macos", 2: "ios", 7: "ios-simulator"}
LC_SYMTAB, LC_BUILD_VERSION, LC_VERSION_MIN_MACOSX, LC_VERSION_MIN_IPHONEOS = 0x2, 0x32, 0x24, 0x25


class MachOError(Exception):
    """Not a readable static library."""


@dataclass
class Slice:
    """One architecture of a static library. Names without the leading underscore; `runtime` are those of the compiler's own objects, whose names
    are not the crate's."""

    architecture: str
    platforms: set[str] = field(default_factory=set)
    oldest: set[str] = field(default_factory=set)
    objects: int = 0
    size: int = 0
    data: bytes = b""
    defined: set[str] = field(default_factory=set)
    runtime: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)


def read(data: bytes) -> list[Slice]:
    """Reads a static library, universal or for one architecture."""
    try:
        return [_archive(part) for part in _parts(data)]
    except (struct.error, IndexError, UnicodeDecodeError, ValueError) as problem:
        raise MachOError(f"cut off or damaged: {problem}") from problem


def join(archives: list[bytes]) -> bytes:
    """A universal library from libraries of one architecture each, as created by `lipo -create` (LLVM's refuses objects of a newer LLVM)."""
    offset, table, body = 8 + 20 * len(archives), b"", b""
    for data in archives:
        start = data.index(b"\xcf\xfa\xed\xfe")
        cpu, kind = struct.unpack_from("<II", data, start + 4)
        padding = -(offset + len(body)) % 8
        body += b"\0" * padding
        table += struct.pack(">IIIII", cpu, kind, offset + len(body), len(data), 3)
        body += data
    return struct.pack(">4sI", b"\xca\xfe\xba\xbe", len(archives)) + table + body


def _parts(data: bytes) -> list[bytes]:
    magic = data[:4]
    if magic == b"\xca\xfe\xba\xbe":
        (count,) = struct.unpack_from(">I", data, 4)
        parts = [struct.unpack_from(">IIIII", data, 8 + 20 * index) for index in range(count)]
        return [_cut(data, offset, size) for _, _, offset, size, _ in parts]
    return [data]


def _cut(data: bytes, offset: int, size: int) -> bytes:
    if offset + size > len(data):
        raise MachOError("cut off")
    return data[offset : offset + size]


def _archive(data: bytes) -> Slice:
    if data[:8] != b"!<arch>\n":
        raise MachOError("not a static library")
    found: Slice | None = None
    at = 8
    while at + 60 <= len(data):
        name, size = data[at : at + 16].rstrip(), int(data[at + 48 : at + 58])
        body = _cut(data, at + 60, size)
        if name.startswith(b"#1/"):
            name, body = body[: int(name[3:])].rstrip(b"\0"), body[int(name[3:]) :]
        if body[:4] == b"\xcf\xfa\xed\xfe":
            before = set(found.defined) if found else set()
            found = _object(body, found)
            if not name.startswith(b"silhouette_ffi"):
                found.runtime |= found.defined - before
        at += 60 + size + (size & 1)
    if found is None:
        raise MachOError("no object inside")
    found.size, found.data = len(data), data
    found.asked -= found.defined
    return found


def _object(data: bytes, into: Slice | None) -> Slice:
    cpu, _, _, commands, _, _, _ = struct.unpack_from("<IIIIIII", data, 4)
    architecture = CPUS.get(cpu, f"cpu {cpu:#x}")
    into = into or Slice(architecture)
    if into.architecture != architecture:
        raise MachOError(f"objects of {into.architecture} and {architecture} in one archive")
    into.objects += 1
    at = 32
    for _ in range(commands):
        command, size = struct.unpack_from("<II", data, at)
        if command == LC_BUILD_VERSION:
            platform, oldest = struct.unpack_from("<II", data, at + 8)
            into.platforms.add(PLATFORMS.get(platform, f"platform {platform}"))
            into.oldest.add(f"{oldest >> 16}.{oldest >> 8 & 255}")
        elif command in (LC_VERSION_MIN_MACOSX, LC_VERSION_MIN_IPHONEOS):
            (oldest,) = struct.unpack_from("<I", data, at + 8)
            into.platforms.add("macos" if command == LC_VERSION_MIN_MACOSX else "ios")
            into.oldest.add(f"{oldest >> 16}.{oldest >> 8 & 255}")
        elif command == LC_SYMTAB:
            symbols, count, strings, strings_size = struct.unpack_from("<IIII", data, at + 8)
            table = _cut(data, strings, strings_size)
            for index in range(count):
                name_at, kind, _, _, value = struct.unpack_from("<IBBHQ", data, symbols + 16 * index)
                if kind & 0xE0 or not kind & 1:  # for debuggers, or local
                    continue
                name = table[name_at : table.index(b"\0", name_at)].decode().removeprefix("_")
                if kind & 0x0E == 0 and value == 0:
                    into.asked.add(name)
                else:
                    into.defined.add(name)
        at += size
    return into
