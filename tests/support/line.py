# SPDX-License-Identifier: MIT
"""A way to a server that can fall silent."""
import contextlib
import socket
import threading



class Line:
    """A relay to a server that can fall silent: then connections are cut at the near end only."""

    def __init__(self, far=None):
        """`far` is the server's port; it must be set before the first connection."""
        self.far, self.pairs = far, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.far))
            self.pairs.append((near, far))
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=ends, daemon=True).start()

    @staticmethod
    def carry(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass

    def cut(self):
        """Cuts the near ends; the server does not notice."""
        for near, _ in self.pairs:
            with contextlib.suppress(OSError):  # some may have ended already
                near.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.close()
        for near, far in self.pairs:
            near.close()
            far.close()
