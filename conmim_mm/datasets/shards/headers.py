"""The headers of a tar file, read one after another, whatever is in them.

:mod:`tarfile` calls itself for every extended header, takes them at any size into memory and looks
through those of pax in quadratic time; here a damaged or crafted file takes as long as a whole one.
"""

import os
import tarfile
from io import FileIO
from tarfile import BLOCKSIZE, TarInfo
from typing import NamedTuple

MAX_EXTENDED = 2**20  # bytes of an extended header: names, times and rights of one file
_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_LONG = {tarfile.GNUTYPE_LONGNAME: b'path', tarfile.GNUTYPE_LONGLINK: b'linkpath'}
_SPARSE = b'GNU.sparse'
_FIELDS = (b'path', b'linkpath', b'size')  # those that count here
_CONTINUED = {True: 482, False: 504}  # where a sparse file's first header, and those behind it, say


class Member(NamedTuple):
    """A file of a tar, or one more name of an earlier one.

    Attributes:
        name: As stored.
        offset: The byte where its content begins.
        size: Of its content in bytes.
        target: The earlier file's name; None for a file.
    """

    name: str
    offset: int
    size: int
    target: str | None


def read_headers(file: FileIO) -> tuple[list[Member], str]:
    """The files and hard links of a tar, and what ended them before their time, if anything did.

    Raises:
        TarError: There is not even a first header.
    """
    end_of_file = os.fstat(file.fileno()).st_size
    members, place = [], 0
    lasting, next_only = {}, {}  # extended headers, by field
    while place <= end_of_file:  # an impossible size leads behind it
        block = os.pread(file.fileno(), BLOCKSIZE, place)
        try:
            header = TarInfo.frombuf(block, 'utf-8', 'surrogateescape')
            place += BLOCKSIZE
            if header.type in _PAX or header.type in _LONG:
                fields = lasting if header.type == tarfile.XGLTYPE else next_only
                fields.update(_extended_fields(file, header, place))
                place += _padded(header.size)
                continue
            fields, next_only = lasting | next_only, {}
            member, place = _member(file, header, fields, place)
        except (tarfile.HeaderError, ValueError) as error:
            if place == 0 and not isinstance(error, tarfile.EOFHeaderError):
                raise tarfile.ReadError(str(error)) from error
            return members, _damage(block, error)
        if member is None:
            continue
        if member.offset + member.size > end_of_file:
            return members, f'it ends within {member.name!a}'
        members.append(member)
    return members, 'its end is missing'


def _damage(block: bytes, error: Exception) -> str:
    if isinstance(error, tarfile.EOFHeaderError):
        return ''
    if len(block) < BLOCKSIZE:
        return 'its end is missing'
    return 'a header is damaged' if isinstance(error, tarfile.HeaderError) else str(error)


def _member(file: FileIO, header: TarInfo, fields: dict[bytes, bytes],
            place: int) -> tuple[Member | None, int]:
    """A header's file, None for what is no file or has holes; and where the next header is."""
    name, target = (fields[key].decode('utf-8', 'surrogateescape') if key in fields else given
                    for key, given in ((b'path', header.name), (b'linkpath', header.linkname)))
    size = int(fields.get(b'size', header.size))
    if size < 0:
        raise ValueError(f'the size of {name!a} is below 0')
    if header.islnk():
        return Member(name, 0, 0, target), place
    is_sparse = header.type == tarfile.GNUTYPE_SPARSE
    if is_sparse:
        place = _skip_sparse_map(file, place)
    is_file = header.isreg() and not is_sparse and _SPARSE not in fields
    member = Member(name, place, size, None) if is_file else None
    has_content = header.isreg() or header.type not in tarfile.SUPPORTED_TYPES
    return member, place + _padded(size) * has_content


def _skip_sparse_map(file: FileIO, place: int) -> int:
    header, first = os.pread(file.fileno(), BLOCKSIZE, place - BLOCKSIZE), True
    while header[_CONTINUED[first]:_CONTINUED[first] + 1] > b'\0':
        header, first = os.pread(file.fileno(), BLOCKSIZE, place), False
        place += BLOCKSIZE
    return place


def _extended_fields(file: FileIO, header: TarInfo, place: int) -> dict[bytes, bytes]:
    """What an extended header says of the next file, or of all from here on."""
    if not 0 <= header.size <= MAX_EXTENDED:
        raise ValueError(f'an extended header of {header.size} bytes')
    content = os.pread(file.fileno(), header.size, place)
    if header.type in _LONG:
        return {_LONG[header.type]: content.partition(b'\0')[0]}
    fields, start = {}, 0
    while start < len(content) and content[start]:
        # a record: its length in digits, a space, field=value, a line end
        digits = content[start:start + 9].partition(b' ')[0]
        length = int(digits) if digits.isdigit() else 0
        record = content[start + len(digits) + 1:start + length]
        if not record.endswith(b'\n'):
            raise ValueError('an extended header is damaged')
        field, _, value = record[:-1].partition(b'=')
        if field in _FIELDS:
            fields[field] = value
        elif field.startswith(_SPARSE):
            fields[_SPARSE] = b''
        start += length
    return fields


def _padded(size: int) -> int:
    return -(-size // BLOCKSIZE) * BLOCKSIZE
