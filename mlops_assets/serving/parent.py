"""What a child process owes its supervisor.

Here: ending with it. Belongs here: what both children do. Does not: what one of them does.
"""

import os
import threading
import time

CHECK_S = 0.5


def end_with_parent() -> None:
    """End this process when its parent is gone, so that a killed supervisor leaves nothing behind.

    At once, without a clean-up: everything that was acknowledged is on disk already.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(CHECK_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
