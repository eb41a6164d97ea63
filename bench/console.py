"""Standard output: the one way in which commands write lines and data to it, whoever wrote what stands in them."""

import sys

from rich.console import Console as RichConsole

from bench.printable import clean, printable


class Console(RichConsole):
    """Rich's, but for a pipe whose reader has seen enough, which is the command line's business."""

    def on_broken_pipe(self) -> None:
        """Raise it, where rich would exit as if the command had failed.

        Raises:
            BrokenPipeError: Always.
        """
        self.quiet = True  # what draws on it may have a last word
        raise BrokenPipeError


def print_line(console: RichConsole, line: str) -> None:
    """Print a line as long as it is, cleaned of control characters."""
    console.print(clean(line), markup=False, highlight=False, soft_wrap=True)


def write(content: bytes) -> None:
    """Write UTF-8 to standard output as it is; on a terminal without control characters."""
    if sys.stdout.isatty():
        content = printable(content.decode("utf-8", "replace").replace("\r\n", "\n")).encode()
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.flush()
