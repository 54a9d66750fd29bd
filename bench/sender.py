"""The sending process of a measurement: for each line it reads, hands a message over and says when."""

import sys
import time

from bench import rig


def main() -> None:
    import django

    django.setup()
    from delivery.handover import send

    content = rig.an_eml()
    print("ready", flush=True)
    for _ in sys.stdin:
        send(content)
        print(time.monotonic(), flush=True)


if __name__ == "__main__":
    main()
