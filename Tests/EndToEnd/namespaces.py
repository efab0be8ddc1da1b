"""Nodes in network namespaces of their own, joined by a bridge: each pair of them can be cut apart, one way too.

A cut is a wrong hardware address for the neighbour: what is sent to it vanishes without a word, as in a broken network.
Nothing but `ip` of iproute2 is needed, and the rights of root.
"""

import asyncio
import os
import random
import shutil
import subprocess
import sys

from cluster_nodes import Cluster
from node import free_port
from proxy import Proxy
from suite import skip

NOWHERE = "02:00:00:00:00:01"
NUMBERS = random.sample(range(16, 240), 64)


def as_root():
    """Starts the whole program anew as root, where sudo lets it without a password; otherwise the tests are skipped."""
    if os.geteuid() == 0 or not shutil.which("sudo"):
        return
    if subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode != 0:
        return
    kept = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("TUMULTE_") or name == "PATH"]
    # Nothing of root's is to stay in the sources' folder.
    os.execvp("sudo", ["sudo", "-n", "env", "PYTHONDONTWRITEBYTECODE=1", *kept, sys.executable, *sys.argv])


def ip(*words, check=True):
    done = subprocess.run(["ip", *map(str, words)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 or not check, f"ip {' '.join(map(str, words))}: {done.stderr}"
    return done


def why_not():
    """Why namespaces cannot be made here; nothing where they can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are a matter of Linux"
    if os.geteuid() != 0:
        return "network namespaces need root, or sudo without a password"
    name = f"tumulte-{os.getpid()}"
    try:
        made = ip("netns", "add", name, check=False)
        if made.returncode != 0:
            return f"network namespaces cannot be made here: {made.stderr.strip()}"
        bridge = ip("-n", name, "link", "add", "probe", "type", "bridge", check=False)
        ip("netns", "del", name)
        return f"bridges cannot be made here: {bridge.stderr.strip()}" if bridge.returncode != 0 else None
    except FileNotFoundError:
        return "there is no `ip` (Debian: apt-get install iproute2)"


class Network(Cluster):
    """A cluster whose nodes are each in a namespace; clients and stores are on the machine, at the bridge's address.

    With `own_server` the nodes reach their database without a proxy in between: it sees their addresses, and none of them
    is told which address it has.
    """

    def __init__(self, names="abc", own_server=False):
        if reason := why_not():
            skip(reason)
        super().__init__(names, own_server)
        self.number = NUMBERS.pop()
        self.bridge = f"tum{os.getpid() % 10_000_000:x}{self.number:x}"

    def address(self, name):
        return f"10.213.{self.number}.{11 + self.names.index(name)}"

    @property
    def gateway(self):
        """The address of the stores."""
        return f"10.213.{self.number}.1"

    @property
    def aside(self):
        """Another address of the machine, from which clients reach a node that is cut off from the stores."""
        return f"10.213.{self.number}.2"

    def space(self, name):
        return f"{self.bridge}-{name}"

    def outer(self, name):
        return f"{self.bridge}{name}"

    async def prepare(self):
        gateway = self.gateway
        self.stack.callback(ip, "link", "del", self.bridge, check=False)
        ip("link", "add", self.bridge, "type", "bridge")
        for address in (gateway, self.aside):
            ip("addr", "add", f"{address}/24", "dev", self.bridge)
        ip("link", "set", self.bridge, "up")
        for name in self.names:
            space = self.space(name)
            ip("netns", "add", space)
            self.stack.callback(ip, "netns", "del", space, check=False)
            ip("link", "add", self.outer(name), "type", "veth", "peer", "name", "eth0", "netns", space)
            # A namespace outlives its name while a dead node's connections linger in it.
            self.stack.callback(ip, "link", "del", self.outer(name), check=False)
            ip("link", "set", self.outer(name), "master", self.bridge, "up")
            ip("-n", space, "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", space, "link", "set", "lo", "up")
        # The stores listen on the loopback address alone.
        self.stores = {}
        for url in (self.url, self.redis.url):
            port = int(url.rsplit(":", 1)[1].split("/")[0])
            if self.own_server and url == self.url:
                await asyncio.to_thread(self.server.listen_on, gateway, f"10.213.{self.number}.0/24")
                self.stores[url] = url.replace("@127.0.0.1:", f"@{gateway}:")
                continue
            proxy = await self.stack.enter_async_context(Proxy(port, gateway))
            self.stores[url] = url.replace(f"@127.0.0.1:{port}/", f"@{gateway}:{proxy.port}/")

    def node(self, name):
        node = super().node(name)
        address, links = self.address(name), free_port()
        node.host = address
        node.wrapper = ["ip", "netns", "exec", self.space(name)]
        node.environment |= {
            "TUMULTE_HTTP": f"{address}:{node.port}",
            "TUMULTE_OPEN": "1",
            "TUMULTE_ADMIN_TOKEN": "an-admin-token-of-the-tests",
            "TUMULTE_CLUSTER": f"{address}:{links}",
            "TUMULTE_ADVERTISE": f"{address}:{links}",
            "DATABASE_URL": self.stores[self.url],
            "REDIS_URL": self.stores[self.redis.url],
        }
        if self.own_server:
            del node.environment["TUMULTE_ADVERTISE"]
            node.environment["TUMULTE_CLUSTER"] = f"0.0.0.0:{links}"
        return node

    def cut(self, sender, receiver):
        """What one node sends to another vanishes."""
        self._lose(sender, self.address(receiver))

    def mend(self, sender, receiver):
        ip("-n", self.space(sender), "neigh", "del", self.address(receiver), "dev", "eth0")

    def cut_stores(self, name):
        """What a node sends to the stores vanishes."""
        self._lose(name, self.gateway)

    def _lose(self, sender, address):
        ip("-n", self.space(sender), "neigh", "replace", address, "lladdr", NOWHERE, "dev", "eth0", "nud", "permanent")

    def part(self, one, *others):
        for other in others:
            self.cut(one, other)
            self.cut(other, one)

    def join(self, one, *others):
        for other in others:
            self.mend(one, other)
            self.mend(other, one)

    def unplug(self, name):
        """Nothing reaches the node any more, and it reaches nothing."""
        ip("link", "set", self.outer(name), "down")

    def plug(self, name):
        ip("link", "set", self.outer(name), "up")
