"""Where data sets and their loaders read files from."""

from collections.abc import Iterator


def reads_local_files(reader: object) -> bool:
    """Whether what has a path is a file of this machine, not a key of another storage.

    Args:
        reader: A data set, with all that it wraps and its loaders, or one transform.
    """
    settings = (getattr(one, name, None) or {} for one in _readers(reader)
                for name in ('backend_args', 'file_client_args'))
    return all(one.get('backend', 'local') in ('local', 'disk') for one in settings)


def _readers(reader: object) -> Iterator[object]:
    yield reader
    pipeline = getattr(reader, 'pipeline', None) or ()
    yield from getattr(pipeline, 'transforms', pipeline)
    for inner in (*getattr(reader, 'datasets', ()), getattr(reader, 'dataset', None)):
        if inner is not None:
            yield from _readers(inner)
