"""Makes the code of the contract's messages and services, in the package `driver`, where git ignores it.

The proto lies in `proto/`, or where PROTO_DIR says.
"""

import os
import sys
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).resolve().parent


def main() -> int:
    folder = Path(os.environ.get("PROTO_DIR") or HERE / "proto") / "longshore/driver/v1"
    if not (folder / "driver.proto").is_file():
        print(f"there is no driver.proto in {folder}; PROTO_DIR names another directory", file=sys.stderr)
        return 1
    well_known = Path(protoc.__file__).parent / "_proto"
    return protoc.main(
        [
            "protoc",
            f"-Idriver={folder}",  # under this name, so that the generated modules import each other from the package
            f"-I{well_known}",
            f"--python_out={HERE}",
            f"--pyi_out={HERE}",
            f"--grpc_python_out={HERE}",
            "driver/driver.proto",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
