"""Prints a port of the loopback that nobody has, for a server of the tests that may be killed and started again there.

Below the range from which the system takes ports of clients, one of which could take it meanwhile, and beside that from
which the tests take ports of nodes.
"""

import random
import socket

while True:
    port = random.randrange(10000, 16000)
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
            break
        except OSError:
            continue
print(port)
