"""Parquet tables with a sha256 of their names and values, written atomically and checked when read."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crossfool.errors import UserError, brief
from crossfool.storage import recovery
from crossfool.storage.atomic import replacing
from crossfool.storage.recovery import changed_file
from crossfool.storage.tensors import DIGESTS_KEY

if TYPE_CHECKING:
    import pyarrow as pa


def write_table(path: str | Path, columns: Mapping[str, Any]) -> None:
    """Write named columns of equal length to a parquet file, and their sha256 to its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(dict(columns))
    table = table.replace_schema_metadata({DIGESTS_KEY: _digest(table)})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _digest(table: "pa.Table") -> str:
    """The sha256 of a table's names and values."""
    digest = hashlib.sha256()
    for name in table.column_names:
        values = np.asarray(table[name])
        digest.update(json.dumps([name, str(table[name].type), len(values)]).encode())
        data = repr(values.tolist()).encode() if values.dtype == object else np.ascontiguousarray(values).data
        digest.update(data)
    return digest.hexdigest()


def read_table(path: str | Path) -> "pa.Table":
    """Read a parquet file.

    Raises:
        UserError: the file is missing, no parquet file, or no longer what was written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # in this thread alone: pyarrow's pools abort a process that ends while they start a thread
        with pq.ParquetFile(path, pre_buffer=False) as file:
            table = file.read(use_threads=False)
        written = (table.schema.metadata or {}).get(DIGESTS_KEY.encode())
        computed = None if written is None else _digest(table).encode()
    except FileNotFoundError:
        raise recovery.missing_file(path) from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(
            f"{path} is no whole parquet file ({brief(error, 200)}); delete it and run `dvc repro`"
        ) from None
    if written != computed:
        raise changed_file(path, "its values have")
    return table
