"""Print README command number N, the argument: the N-th fenced block of its language `sh`, as it stands there."""

import re
import sys
from pathlib import Path


def main() -> None:
    readme = Path(__file__).parents[1] / "README.md"
    blocks = re.findall(r"^```sh\n(.*?)^```", readme.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    number = int(sys.argv[1])
    if number > len(blocks):
        sys.exit(f"{readme} has {len(blocks)} blocks of sh, not {number}")
    print(blocks[number - 1], end="")


if __name__ == "__main__":
    main()
