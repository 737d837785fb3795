"""Runs commands on a lab host for `lab sh`. Listens on the management wire only, which no other host reaches.

One connection, one command. Both ways frames of one byte type, four bytes length (big endian), payload.
In: 'c' the command as JSON {"cmd": str, "env": {}}, 'i' input, 'e' end of input. Connection closed: the
command's process group is killed. Out: 'o' output, 'r' error output, 'x' exit code as text.
"""
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading


def frame(kind, payload=b""):
    return kind + struct.pack(">I", len(payload)) + payload


class Session:
    def __init__(self, connection):
        self.connection = connection
        self.buffer = b""
        self.child = None
        self.input = b""
        self.input_ended = False

    def run(self):
        while self.child is None:
            if not self.read():
                return
        pipes = {self.child.stdout.fileno(): b"o", self.child.stderr.fileno(): b"r"}
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        for pipe in pipes:
            poll.register(pipe, select.POLLIN)
        stdin = self.child.stdin.fileno()
        os.set_blocking(stdin, False)
        writing = False
        while pipes:
            if self.child.stdin and not writing and (self.input or self.input_ended):
                poll.register(stdin, select.POLLOUT)
                writing = True
            for descriptor, _ in poll.poll():
                if descriptor == self.connection.fileno():
                    if not self.read():
                        os.killpg(self.child.pid, signal.SIGKILL)
                        self.child.wait()
                        return
                elif descriptor == stdin:
                    writing = self.feed(poll, stdin)
                elif descriptor in pipes:
                    data = os.read(descriptor, 65536)
                    if data:
                        self.connection.sendall(frame(pipes[descriptor], data))
                    else:
                        poll.unregister(descriptor)
                        del pipes[descriptor]
        code = self.child.wait()
        self.connection.sendall(frame(b"x", str(code if code >= 0 else 128 - code).encode()))

    def feed(self, poll, stdin):
        """Writes what the command takes; returns whether there is more to write."""
        try:
            if self.input:
                self.input = self.input[os.write(stdin, self.input[:65536]):]
        except BlockingIOError:
            return True
        except OSError:
            self.input = b""
            self.input_ended = True
        if self.input:
            return True
        poll.unregister(stdin)
        if self.input_ended:
            self.child.stdin.close()
            self.child.stdin = None
        return False

    def read(self):
        data = self.connection.recv(262144)
        self.buffer += data
        while len(self.buffer) >= 5:
            size = struct.unpack(">I", self.buffer[1:5])[0]
            if len(self.buffer) < 5 + size:
                break
            kind, payload = self.buffer[:1], self.buffer[5:5 + size]
            self.buffer = self.buffer[5 + size:]
            if kind == b"c":
                self.start(json.loads(payload))
            elif kind == b"i":
                self.input += payload
            elif kind == b"e":
                self.input_ended = True
        return bool(data)

    def start(self, request):
        environment = dict(os.environ, **request.get("env", {}))
        self.child = subprocess.Popen(
            ["/bin/bash", "-c", request["cmd"]], cwd="/root", env=environment, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def serve(connection):
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            Session(connection).run()
        except OSError:
            pass


listener = socket.create_server((sys.argv[1], 1), backlog=128)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
