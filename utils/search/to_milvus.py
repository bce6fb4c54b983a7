"""The shards of ``make embed`` loaded into Milvus, one after the other, from the command line.

python -m utils.search.to_milvus runs/embeddings --uri runs/images.db
"""

from __future__ import annotations

import argparse
import sys

from utils.search.engines import SearchError
from utils.search.milvus import COLLECTION, load_shards

NAME = "utils.search.to_milvus"


def main(argv: list[str] | None = None) -> int:
    """Loads a folder of shards; the exit status is 0 if all are in Milvus."""
    parser = argparse.ArgumentParser(prog=f"python -m {NAME}", description="Loads make embed's vectors into Milvus.")
    parser.add_argument("folder", help="of shards, as make embed writes them")
    parser.add_argument("--uri", default="runs/images.db", help="a file that ends with .db, or a server's address")
    parser.add_argument("--collection", default=COLLECTION, help="one that is there takes these in beside its own")
    arguments = parser.parse_args(argv)
    try:
        with load_shards(arguments.folder, arguments.uri, collection=arguments.collection) as index:
            print(index)
    except (SearchError, OSError) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{NAME}: stopped; start it again, which resumes.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
