"""Where an interpreter would import from, as a script: prints a JSON array of paths.

A warm server, which is such an interpreter, calls it before it imports anything.
"""

from __future__ import annotations

import json
import sys


def import_paths() -> list[str]:
    """``sys.path`` without this script's folder, and the paths that import hooks lead to."""
    found = sys.path[not sys.flags.safe_path :]
    for finder in sys.meta_path:
        module = sys.modules.get(getattr(finder, "__module__", None) or type(finder).__module__)
        for holder in (module, finder, type(finder)):
            for value in list(getattr(holder, "__dict__", {}).values()):
                if isinstance(value, dict) and value is not sys.modules:
                    for item in list(value.values()):
                        items = item if isinstance(item, list) else [item]
                        found += [path for path in items if isinstance(path, str)]
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(import_paths()))
