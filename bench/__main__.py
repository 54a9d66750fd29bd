"""`python -m bench NAME [options]`: run one measurement; `python -m bench NAME --help` tells its options."""

import sys
from importlib import import_module

NAMES = ("wire", "drain", "scale", "backlog", "latency", "enqueue", "burst", "memory", "pages")


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in NAMES:
        sys.exit(f"Name one of: {', '.join(NAMES)}")
    sys.argv = [f"python -m bench {name}", *sys.argv[2:]]
    import_module(f"bench.{name}").main()


if __name__ == "__main__":
    main()
