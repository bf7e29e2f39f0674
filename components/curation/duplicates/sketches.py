"""Files of sketches (components.text.shingles), and the algorithm that two of them must share."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from components.errors import StepError
from components.files import atomic_file, open_file, save_array
from components.params import DuplicatesParams
from components.text.shingles import SEED

_ROWS = 8_192  # read at once: 4 MB


def algorithm(params: DuplicatesParams) -> str:
    """The algorithm and its settings, which must be equal for two sketches to be compared."""
    from rensa import RMinHash

    return (
        f"rensa RMinHash {RMinHash.ALGORITHM_VERSION}, seed {SEED}, {params.permutations} permutations, 5 folded words"
    )


def save_sketches(path: Path, sketches: np.ndarray) -> None:
    """Write sketches as an .npy file, whatever the name's ending, atomically."""
    with atomic_file(path) as partial:
        save_array(partial, sketches.astype(np.uint32, copy=False))


class SketchFiles:
    """Sketches in consecutive files, read into memory in parts.

    Attributes:
        rows: total number of sketches.
        permutations: values per sketch.

    Raises:
        StepError: a file is missing, truncated, or has other content.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files = [(Path(path), *_shape(Path(path))) for path in paths]
        widths = {width for _, rows, width, _ in self._files if rows}
        if len(widths) > 1:
            raise StepError(f"sketches of {' and '.join(map(str, sorted(widths)))} permutations cannot be compared")
        self.permutations = widths.pop() if widths else 0
        self.rows = sum(rows for _, rows, _, _ in self._files)

    def followed_by(self, others: "SketchFiles") -> "SketchFiles":
        """These sketches, followed by others."""
        return SketchFiles([path for path, *_ in self._files + others._files])

    def chunks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Position of the first sketch, and sketches; in order."""
        position = 0
        for path, rows, width, offset in self._files:
            with open(path, "rb") as file:
                file.seek(offset)
                for done in range(0, rows, _ROWS):
                    count = min(_ROWS, rows - done)
                    yield position, np.fromfile(file, dtype=np.uint32, count=count * width).reshape(count, width)
                    position += count

    def take(self, positions: np.ndarray) -> np.ndarray:
        """The sketches at ascending positions."""
        taken = np.empty((len(positions), self.permutations), dtype=np.uint32)
        for first, sketches in self.chunks():
            start, end = np.searchsorted(positions, (first, first + len(sketches)))
            taken[start:end] = sketches[positions[start:end] - first]
        return taken


def _shape(path: Path) -> tuple[int, int, int]:
    """Rows, columns and the byte offset of the values."""
    try:
        with open_file(path) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            offset = file.tell()
    except (OSError, ValueError) as error:
        raise StepError(f"{path} holds no sketches ({error}); delete it and run the step again") from error
    if dtype != np.uint32 or fortran or len(shape) != 2:
        raise StepError(f"{path} holds {dtype} {shape}; expected sketches: uint32 (documents, permutations)")
    if path.stat().st_size != offset + 4 * shape[0] * shape[1]:
        raise StepError(f"{path} is truncated; delete it and run the step again")
    return shape[0], shape[1], offset
