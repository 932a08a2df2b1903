"""Reads a shared library's properties: machine, page alignment, needed libraries, symbols, build id.

Only what the dynamic linker reads, and section names; little-endian files of 32 and 64 bits. Truncated or inconsistent files raise ElfError.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

MACHINES = {183: "aarch64", 40: "arm", 62: "x86_64"}
PT_LOAD, PT_DYNAMIC, PT_NOTE = 1, 2, 4
DT_NULL, DT_NEEDED, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SONAME, DT_HASH, DT_TEXTREL, DT_FLAGS, DT_GNU_HASH = 0, 1, 5, 6, 10, 14, 4, 22, 30, 0x6FFFFEF5
STB_GLOBAL, STB_WEAK = 1, 2


class ElfError(Exception):
    """Not a readable shared library."""


@dataclass
class Library:
    """One shared library. `exports` and `imports` are names of dynamic symbols; weak imports need not exist."""

    machine: str
    bits: int
    load_alignments: list[int]
    soname: str = ""
    needed: list[str] = field(default_factory=list)
    exports: set[str] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)
    weak_imports: set[str] = field(default_factory=set)
    build_id: str = ""
    sections: set[str] = field(default_factory=set)
    text_relocations: bool = False
    android_note: bool = False


def read(data: bytes) -> Library:
    """Reads a shared library from its bytes."""
    try:
        return _read(data)
    except (struct.error, IndexError, UnicodeDecodeError, ValueError, OverflowError) as problem:
        raise ElfError(f"cut off or damaged: {problem}") from problem


def _read(data: bytes) -> Library:
    if data[:4] != b"\x7fELF":
        raise ElfError("not an ELF file")
    bits = {1: 32, 2: 64}.get(data[4])
    if bits is None or data[5] != 1:
        raise ElfError("not a little-endian file of 32 or 64 bits")
    wide = bits == 64
    kind, machine = struct.unpack_from("<HH", data, 16)
    if kind != 3:
        raise ElfError("not a shared library")
    if machine not in MACHINES:
        raise ElfError(f"machine {machine} is not one of Android's")
    header = struct.unpack_from("<QQQIHHHHHH" if wide else "<IIIIHHHHHH", data, 24)
    _, program_offset, section_offset, _, _, program_size, program_count, section_size, section_count, names_index = header

    segments = []  # (type, offset, address, file size, alignment)
    for index in range(program_count):
        at = program_offset + index * program_size
        if wide:
            kind, _, offset, address, _, size, _, alignment = struct.unpack_from("<IIQQQQQQ", data, at)
        else:
            kind, offset, address, _, size, _, _, alignment = struct.unpack_from("<IIIIIIII", data, at)
        segments.append((kind, offset, address, size, alignment))
    loads = [segment for segment in segments if segment[0] == PT_LOAD]
    library = Library(MACHINES[machine], bits, [load[4] for load in loads])

    def place(address: int) -> int:
        for _, offset, start, size, _ in loads:
            if start <= address < start + size:
                return offset + address - start
        raise ElfError(f"address {address:#x} is in no segment")

    dynamic: dict[int, list[int]] = {}
    for kind, offset, _, size, _ in segments:
        if kind == PT_DYNAMIC:
            step = 16 if wide else 8
            for at in range(offset, offset + size, step):
                tag, value = struct.unpack_from("<QQ" if wide else "<II", data, at)
                if tag == DT_NULL:
                    break
                dynamic.setdefault(tag, []).append(value)
        elif kind == PT_NOTE:
            _notes(data[offset : offset + size], library)
    if not dynamic:
        raise ElfError("no dynamic section")
    library.text_relocations = DT_TEXTREL in dynamic or bool(dynamic.get(DT_FLAGS, [0])[0] & 4)

    start = place(dynamic[DT_STRTAB][0])
    strings = data[start : start + dynamic[DT_STRSZ][0]]

    def name(offset: int, table: bytes = strings) -> str:
        return table[offset : table.index(b"\0", offset)].decode()

    library.soname = name(dynamic[DT_SONAME][0]) if DT_SONAME in dynamic else ""
    library.needed = [name(offset) for offset in dynamic.get(DT_NEEDED, [])]

    sections = []  # (name, type, offset, size, link)
    for index in range(section_count):
        at = section_offset + index * section_size
        if wide:
            name_at, kind, _, _, offset, size, link, _, _, _ = struct.unpack_from("<IIQQQQIIQQ", data, at)
        else:
            name_at, kind, _, _, offset, size, link, _, _, _ = struct.unpack_from("<IIIIIIIIII", data, at)
        sections.append((name_at, kind, offset, size, link))
    if sections:
        _, _, offset, size, _ = sections[names_index]
        table = data[offset : offset + size]
        library.sections = {name(section[0], table) for section in sections} - {""}

    # The number of dynamic symbols is only in the section table.
    tables = [section for section in sections if section[1] == 11]
    if len(tables) != 1:
        raise ElfError("no table of dynamic symbols")
    _, _, offset, size, _ = tables[0]
    for at in range(offset, offset + size, 24 if wide else 16):
        if wide:
            name_at, info, other, section, _, _ = struct.unpack_from("<IBBHQQ", data, at)
        else:
            name_at, _, _, info, other, section = struct.unpack_from("<IIIBBH", data, at)
        if info >> 4 not in (STB_GLOBAL, STB_WEAK):
            continue
        symbol = name(name_at)
        if section == 0:
            (library.weak_imports if info >> 4 == STB_WEAK else library.imports).add(symbol)
        elif other & 3 in (0, 3):
            library.exports.add(symbol)
    return library


def _notes(notes: bytes, library: Library) -> None:
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, at)
        name = notes[at + 12 : at + 12 + name_size].rstrip(b"\0")
        at += 12 + (name_size + 3 & ~3)
        if name == b"GNU" and kind == 3:
            library.build_id = notes[at : at + size].hex()
        elif name == b"Android":
            library.android_note = True
        at += size + 3 & ~3
