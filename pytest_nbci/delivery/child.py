"""The start of a delivery process: reads what to do from stdin, and does it."""

from __future__ import annotations

import json
import os
import sys
from typing import NoReturn

from pytest_nbci.delivery.destination import Destination
from pytest_nbci.delivery.light import import_ahead, importing_mlflow
from pytest_nbci.errors import DeliveryError


def run(task: str) -> NoReturn:
    """Do ``task`` and end the process, without taking apart all that it imported.

    A pytest that ends waits for it. Whatever it wrote was flushed.
    """
    os._exit(main(task))


def main(task: str) -> int:
    """Do ``task`` for the destination in the first line of stdin; progress goes to stdout.

    Args:
        task: ``follow`` a session whose name and notebooks come as further lines, ``publish``
            all that waits, ``make`` the embedded database, or ``try`` both destinations out.

    Returns:
        The exit code.
    """
    out = sys.stdout
    sys.stdout = sys.stderr  # whatever else prints (MLflow does) goes to the log
    header = json.loads(sys.stdin.readline())
    destination = Destination.from_dict(header["destination"])
    try:
        if task == "make":
            from pytest_nbci.delivery.embedded import make  # one task a process

            with importing_mlflow():
                make(destination)
            return 0
        if task == "try":
            from pytest_nbci.delivery.trial import try_here

            return try_here(destination, out)
        if task == "follow":
            import_ahead(destination.tracking_uri)
        from pytest_nbci.delivery import publisher

        if task == "publish":
            return publisher.deliver_all(destination, out)
        session = sys.stdin.readline().rstrip("\n")
        if not session:  # it did not get as far as its plan
            return 0
        return publisher.follow_session(destination, session, sys.stdin, out)
    except DeliveryError as error:
        sys.stderr.write(f"{error}\n")
        return 1
