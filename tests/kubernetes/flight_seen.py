"""Looks into the store of a demo, as `upcall demo` does, until a fault that was found matches its label. Started where
the names of members are known, with the data folder."""

import sys
from pathlib import Path

from upcall.client.blocking import Client
from upcall.cluster.folder import DataFolder
from upcall.fastdata import demo


def main() -> None:
    for seen in demo.watch(Client.of(DataFolder(Path(sys.argv[1])))):
        print(seen.text, *seen.found, flush=True)
        if seen.matched is not None:
            print(f"matched: {seen.matched['kind']} in second {seen.matched['begin_second']}")
            return


if __name__ == "__main__":
    main()
