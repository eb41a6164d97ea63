"""Write what pip would install, with hashes, from pip's own report on standard input; see `make lock`.

The lock holds for the platform, the Python and the package index that it was made with: torch, for one, has other files
in a CPU build than in a CUDA build. What it pins is then installed, and nothing else, with:
pip install --require-hashes --no-deps -r requirements.lock
"""

import json
import sys
from typing import Any


def lines(report: dict[str, Any]) -> list[str]:
    """List the distributions of a report of `pip install --report`, this project itself left out.

    Args:
        report: Its JSON, of version 1 (https://pip.pypa.io/en/stable/reference/installation-report/).

    Raises:
        ValueError: A distribution has no SHA-256, as one from a folder or a repository has none.
    """
    found = []
    for item in report["install"]:
        name, source = item["metadata"]["name"], item["download_info"]
        if "dir_info" in source and item["requested"]:  # the project, by its folder
            continue
        sha256 = source.get("archive_info", {}).get("hashes", {}).get("sha256")
        if sha256 is None:
            raise ValueError(f"{name} comes from {source['url']}, which has no SHA-256; take it from a package index")
        found.append(f"{name}=={item['metadata']['version']} --hash=sha256:{sha256}")
    return sorted(found, key=str.lower)


def main() -> None:
    """Read the report and write the lock."""
    report = json.load(sys.stdin)
    machine = report["environment"]
    system = f"{machine['sys_platform']} {machine['platform_machine']}"
    head = f"# Python {machine['python_full_version']}, {system}; made by make lock"
    sys.stdout.write("\n".join([head, *lines(report)]) + "\n")


if __name__ == "__main__":
    main()
