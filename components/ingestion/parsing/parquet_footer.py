"""The footer of a Parquet file: the sizes of its row groups. A damaged footer can end the process that reads it."""

import io
from typing import Any

MAGIC = b"PAR1"


def parse(data: bytes) -> dict[str, Any]:
    """Rows, uncompressed bytes and compressed bytes of each row group.

    Args:
        data: the end of the file, from where its footer begins.
    """
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(io.BytesIO(MAGIC + data))
    groups = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        packed = sum(group.column(column).total_compressed_size for column in range(group.num_columns))
        groups.append([group.num_rows, group.total_byte_size, packed])
    return {"text": "", "groups": groups}
