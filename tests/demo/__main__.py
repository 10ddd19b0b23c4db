"""Entry of `make demo` and `make demo-down`."""

import os
import sys

from tests.demo import servers, story


def main() -> int:
    if sys.argv[1:] == ["down"]:
        print(servers.stop_running())
        return 0
    if sys.argv[1:] != ["up"]:
        print("usage: python -m tests.demo up|down", file=sys.stderr)
        return 2
    once = os.environ.get("DEMO_ONCE") == "1"
    with servers.run(once=once) as demo:
        story.tell(demo)
        story.say_where_to_look(demo, once=once)
    return 0


sys.exit(main())
