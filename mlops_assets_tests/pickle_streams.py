"""Finds pickle streams, wherever they hide: plain, in archives, in columns of tables and databases, in base64.

Belongs here: looking. Does not: deciding which finds are allowed.
Run as ``python -m mlops_assets_tests.pickle_streams <folder>``: prints every find, exit code 1 when there is one.

A stream is one when its opcodes parse to the end and keep the discipline of pickle's stack (``pickletools.dis``);
nothing is ever loaded.
"""

import base64
import binascii
import gzip
import io
import pickletools
import re
import sqlite3
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

START = re.compile(rb"\x80[\x02-\x05]")
BASE64 = re.compile(rb"(?<![A-Za-z0-9+/])gA[I-X][A-Za-z0-9+/]{9,}={0,2}")
SMALLEST_INSIDE = 4
"""Opcodes of a stream in the middle of other bytes: shorter ones occur by chance, about once in 50 MB."""
DEEPEST = 4


def pickles_below(folder: Path) -> list[str]:
    """Every place below a folder where a pickle stream lies: ``path``, ``path!member``, ``path!table.column``."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return [f"{path.relative_to(folder)}{where}" for path in files for where in pickles_in(path)]


def pickles_in(path: Path) -> list[str]:
    """The places inside one file."""
    content = path.read_bytes()
    if content.startswith(b"SQLite format 3\0"):
        return list(_in_database(path))
    return list(_in_bytes(content))


def _in_bytes(content: bytes, where: str = "", depth: int = 0) -> Iterator[str]:
    if depth > DEEPEST:
        return
    if content.startswith(b"PK\x03\x04"):
        yield from _in_zip(content, where, depth)
    elif content.startswith(b"PAR1"):
        yield from _in_parquet(content, where, depth)
    elif content.startswith(b"\x1f\x8b"):
        yield from _in_bytes(gzip.decompress(content), f"{where}!gzip", depth + 1)
    elif content[:2] in (b"\x78\x01", b"\x78\x9c", b"\x78\xda") and (opened := _unzlib(content)):
        yield from _in_bytes(opened, f"{where}!zlib", depth + 1)
    if is_pickle(content) or _inside(content):
        yield where
    for found in BASE64.finditer(content):
        if _decoded(found.group()):
            yield f"{where}!base64"
            return


def is_pickle(content: bytes) -> bool:
    """True when the content as a whole is a pickle stream, of any protocol."""
    return len(content) > 1 and content.endswith(b".") and _end(content) == len(content)


def _inside(content: bytes) -> bool:
    starts = (found.start() for found in START.finditer(content))
    return any(_end(content[start:], SMALLEST_INSIDE) for start in starts)


def _end(content: bytes, at_least: int = 2) -> int:
    """Where the stream at the beginning of the content ends; 0 when there is none."""
    try:
        count = end = 0
        for opcode, _, position in pickletools.genops(content):
            count, end = count + 1, (position or 0) + 1
            if opcode.name == "STOP":
                break
        pickletools.dis(content[:end], out=io.StringIO())
    except Exception:
        return 0
    return end if count >= at_least else 0


def _decoded(text: bytes) -> bool:
    try:
        return _inside(base64.b64decode(text + b"=" * (-len(text) % 4)))
    except binascii.Error:
        return False


def _unzlib(content: bytes) -> bytes:
    try:
        return zlib.decompress(content)
    except zlib.error:
        return b""


def _in_zip(content: bytes, where: str, depth: int) -> Iterator[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            yield from _in_bytes(archive.read(name), f"{where}!{name}", depth + 1)


def _in_parquet(content: bytes, where: str, depth: int) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content))
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            column = column.unify_dictionaries().chunk(0).dictionary if column.num_chunks else column
        kind = column.type
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_string(kind):
            values = {value for value in column.to_pylist() if value}
            yield from _in_values(values, f"{where}!{name}", depth)


def _in_database(path: Path) -> Iterator[str]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        database.text_factory = bytes
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            rows = database.execute(f'SELECT * FROM "{table.decode()}"')
            names = [column[0] for column in rows.description]
            columns: dict[str, set[bytes]] = {name: set() for name in names}
            for row in rows:
                for name, value in zip(names, row, strict=True):
                    if isinstance(value, bytes) and value:
                        columns[name].add(value)
            for name, values in columns.items():
                yield from _in_values(values, f"!{table.decode()}.{name}", 1)


def _in_values(values: set, where: str, depth: int) -> Iterator[str]:
    for value in values:
        content = value if isinstance(value, bytes) else value.encode()
        if any(True for _ in _in_bytes(content, where, depth + 1)):
            yield where
            return


if __name__ == "__main__":
    root = Path(sys.argv[1])
    found = pickles_below(root)
    print("\n".join(found) or f"no pickle in {sum(path.is_file() for path in root.rglob('*'))} files below {root}")
    sys.exit(1 if found else 0)
