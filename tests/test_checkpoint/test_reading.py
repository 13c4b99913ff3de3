"""Damaged, crafted and mistaken checkpoints end in one line, wherever they are read."""

import http.server
import io
import os
import pickle
import random
import struct
import threading
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from conmim_mm.checkpoint.integrity import DamagedCheckpointError
from conmim_mm.checkpoint.reading import load_checkpoint_file, model_state
from conmim_mm.errors import InputError

FLIPS = 600


@pytest.fixture
def saved(tmp_path) -> Path:
    history = HistoryBuffer()
    history.update(1.5)
    history.update(2, 3)
    torch.save(dict(
        meta=dict(epoch=1, iter=np.int64(4)),
        state_dict={f'w{i}': torch.randn(7) for i in range(4)},
        message_hub=dict(log_scalars={'loss': history}),
        arrays=(np.arange(6.).reshape(2, 3).T, np.zeros((0, 2), np.uint8), np.array([True])),
    ), tmp_path / 'saved.pth')
    return tmp_path / 'saved.pth'


def test_what_is_saved_comes_back(saved) -> None:
    loaded = load_checkpoint_file(saved)
    history = loaded['message_hub']['log_scalars']['loss']
    assert type(history) is HistoryBuffer and history.mean() == (1.5 + 2) / 4
    assert history.max_length == HistoryBuffer().max_length
    assert type(loaded['meta']['iter']) is np.int64
    table, nothing, truth = loaded['arrays']
    assert type(table) is np.ndarray and table.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert nothing.shape == (0, 2) and nothing.dtype == np.uint8 and truth.tolist() == [True]
    torch.save(loaded, saved)  # as it was, not as anything of this project
    assert b'conmim' not in saved.read_bytes()


def test_every_flipped_bit_is_found_or_changes_nothing(saved) -> None:
    """In the archive's directory above all, which no check sum covers."""
    content, good = saved.read_bytes(), load_checkpoint_file(saved)
    with zipfile.ZipFile(saved) as archive:
        directory = archive.start_dir
    rng = random.Random(0)
    for number in range(FLIPS):
        damaged = bytearray(content)
        place = rng.randrange(directory if number % 2 else 0, len(content))
        damaged[place] ^= 1 << rng.randrange(8)
        saved.write_bytes(damaged)
        try:
            loaded = load_checkpoint_file(saved)
        except InputError as error:
            assert '\n' not in str(error)
            continue
        assert loaded['state_dict'].keys() == good['state_dict'].keys(), place
        for key, value in good['state_dict'].items():
            assert torch.equal(loaded['state_dict'][key], value), place


def test_an_entry_that_says_it_is_a_folder_is_damage(saved) -> None:
    """PyTorch reads nothing of one, and gives what happens to be in the memory."""
    content = bytearray(saved.read_bytes())
    entry = content.rindex(b'saved/data/0') - 46
    struct.pack_into('<I', content, entry + 38, 0x10)
    saved.write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match='saved.pth is damaged'):
        load_checkpoint_file(saved)


class Stated:
    """Pickles into a call of a function and any number of states."""

    def __init__(self, function: object, arguments: tuple, *states: object) -> None:
        self.parts = function, arguments, states


class Pickler(pickle._Pickler):
    """Writes them, with the names that NumPy has."""

    def save(self, value: object, save_persistent_id: bool = True) -> None:
        if not isinstance(value, Stated):
            super().save(value, save_persistent_id)
            return
        function, arguments, states = value.parts
        self.save(function)
        self.save(arguments)
        self.write(pickle.REDUCE)
        for state in states:
            self.save(state)
            self.write(pickle.BUILD)


RECONSTRUCT, SCALAR = np._core.multiarray._reconstruct, np._core.multiarray.scalar
PLAIN = (3, '<', None, None, None, -1, -1, 0)


def dtype(code: str = 'f8', *states: tuple) -> Stated:
    return Stated(np.dtype, (code, False, True), *(states or [PLAIN]))


def array(*states: tuple) -> Stated:
    return Stated(RECONSTRUCT, (np.ndarray, (0,), b'b'), *states)


CRAFTED = {
    'two states of an array': array((1, (1,), dtype(), False, bytes(8)),
                                    (1, (4,), dtype(), False, bytes(32))),
    'two states of a type': array((1, (1,), dtype('f8', PLAIN, PLAIN), False, bytes(8))),
    'no state': array(),
    'objects': array((1, (1,), dtype('O8'), False, [1])),
    'fields': array((1, (1,), dtype('V16'), False, bytes(16))),
    'a type with fields': array((1, (1,), dtype('f8', (3, '<', None, ('a',), {}, 8, 1, 0)), False,
                                 bytes(8))),
    'more than its data': array((1, (1000,), dtype(), False, bytes(8))),
    'less than nothing': array((1, (-1, -1), dtype(), False, bytes(8))),
    'a buffer': array((1, (1,), dtype(), False, bytearray(8))),
    'memory as it is': Stated(np.ndarray, ((1000,),)),
    'a number of objects': Stated(SCALAR, (dtype('O8'), bytes(8))),
    'a number cut off': Stated(SCALAR, (dtype(), bytes(3))),
    'a record of texts': Stated(HistoryBuffer, (), dict(max_length=1, _log_history='a',
                                                        _count_history='b')),
    'a method that is a text': Stated(HistoryBuffer, (), dict(statistics_methods=dict(mean='x'))),
    'an attribute of NumPy': Stated(getattr, (np.ndarray, 'tofile')),
}


def write_pickle(path: Path, content: bytes) -> None:
    """A checkpoint of PyTorch's format around a pickle."""
    torch.save({}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, own in entries.items():
            archive.writestr(name, content if name.endswith('data.pkl') else own)


def write_meta(path: Path, value: object) -> None:
    """A checkpoint with this in its meta."""
    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(dict(meta=dict(a=value), state_dict={}))
    write_pickle(path, stream.getvalue())


@pytest.mark.parametrize('kind', CRAFTED)
def test_arrays_are_built_of_one_state_of_numbers(tmp_path, kind: str) -> None:
    write_meta(tmp_path / 'crafted.pth', CRAFTED[kind])
    with pytest.raises(InputError, match='cannot load .*crafted.pth as plain weights'):
        load_checkpoint_file(tmp_path / 'crafted.pth')
    write_meta(tmp_path / 'fine.pth', array((1, (1,), dtype(), False, bytes(8))))
    assert load_checkpoint_file(tmp_path / 'fine.pth')['meta']['a'].tolist() == [0.]


DEEP = 100_000
META = b'\x80\x02}X\x04\x00\x00\x00meta}X\x01\x00\x00\x00a%bss.'  # {'meta': {'a': ...}}
ENDLESS = {
    'deep': b']' * DEEP + b'a' * (DEEP - 1),
    # few tuples, which are 2 to the power of 60 to whoever walks through them
    'many': b']q\x00' + b''.join(b'h%c\x86q%c' % (i, i + 1) for i in range(60)),
    # hashed as a key without a limit, which crashes the process
    'a deep key': b'})' + b'\x85' * DEEP + b'Ns',
    'in itself': b']q\x00h\x00a',
}


@pytest.mark.parametrize('kind', ENDLESS)
def test_endless_meta_is_refused_in_time(tmp_path, kind: str) -> None:
    write_pickle(tmp_path / 'a.pth', META % ENDLESS[kind])
    with pytest.raises(InputError, match='it holds too much, or too deep'):
        load_checkpoint_file(tmp_path / 'a.pth')


def test_endless_meta_of_the_old_format_is_refused(tmp_path) -> None:
    torch.save({}, tmp_path / 'a.pth', _use_new_zipfile_serialization=False)
    old = (tmp_path / 'a.pth').read_bytes()
    (tmp_path / 'a.pth').write_bytes(old.replace(b'}q\x00.', META % ENDLESS['a deep key']))
    with pytest.raises(InputError, match='it holds too much, or too deep'):
        load_checkpoint_file(tmp_path / 'a.pth')


def write_bomb(path: Path, **options: int) -> None:
    with zipfile.ZipFile(path, 'w', **options) as archive:
        archive.writestr('a/data.pkl', pickle.dumps({}, protocol=2))
        archive.writestr('a/data/0', bytes(2**24))


def write_overlapping(path: Path) -> None:
    """An archive in which many entries are one."""
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('a/data/0', bytes(2**20))
        for number in range(1000):
            entry = zipfile.ZipInfo(f'a/data/{number + 1}')
            first = archive.infolist()[0]
            for name in ('header_offset', 'file_size', 'compress_size', 'CRC'):
                setattr(entry, name, getattr(first, name))
            archive.filelist.append(entry)
            archive.NameToInfo[entry.filename] = entry


MISTAKEN = {
    'a FIFO': os.mkfifo,
    'a device': lambda path: path.symlink_to('/dev/zero'),
    'a folder': Path.mkdir,
    'a dangling link': lambda path: path.symlink_to('nowhere'),
    'empty': Path.touch,
    'compressed': partial(write_bomb, compression=zipfile.ZIP_DEFLATED),
    'overlapping': write_overlapping,
    'a list': lambda path: torch.save([1], path),
    'meta that is a list': lambda path: torch.save(dict(meta=[1]), path),
}


@pytest.mark.parametrize('kind', MISTAKEN)
def test_what_is_no_checkpoint_is_refused_in_time(tmp_path, kind: str) -> None:
    path = tmp_path / 'a.pth'
    MISTAKEN[kind](path)
    with pytest.raises(InputError) as caught:
        load_checkpoint_file(path)
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize('state', [
    [1], dict(w=torch.eye(2).to_sparse()), dict(w=torch.ones(1, dtype=torch.complex64))], ids=str)
def test_what_is_no_weights_is_refused(state: object) -> None:
    with pytest.raises(InputError, match='the checkpoint holds no weights'):
        model_state(dict(state_dict=state))
    assert model_state({'state_dict': {'module.w': torch.ones(1), 7: 'x'}}) == dict(w=1)


def test_a_name_that_cannot_be_is_no_such_checkpoint() -> None:
    with pytest.raises(InputError, match='no such checkpoint'):
        load_checkpoint_file('a\0b.pth')


def test_two_addresses_are_two_files(tmp_path, monkeypatch) -> None:
    """Whatever their last words are; a damaged download is fetched anew the next time."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    for name in 'ab':
        (tmp_path / name).mkdir()
        torch.save(dict(state_dict=dict(name=name)), tmp_path / name / 'w.pth')
    whole = (tmp_path / 'b' / 'w.pth').read_bytes()
    (tmp_path / 'b' / 'w.pth').write_bytes(whole[:-100])
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{server.server_port}'
        assert load_checkpoint_file(f'{address}/a/w.pth')['state_dict'] == dict(name='a')
        with pytest.raises(InputError, match=f'cannot fetch {address}/b/w.pth'):
            load_checkpoint_file(f'{address}/b/w.pth')
        (tmp_path / 'b' / 'w.pth').write_bytes(whole)
        assert load_checkpoint_file(f'{address}/b/w.pth')['state_dict'] == dict(name='b')
        server.shutdown()
    assert load_checkpoint_file(f'{address}/a/w.pth')['state_dict'] == dict(name='a')
