"""Run a TCP proxy that loses answers of a server."""

import socket
import threading
from contextlib import suppress


class Losing:
    """Listens on `port` and forwards everything to `target`, a port of this machine.

    `lose_answer_to(word)`: the next request with that word is carried out, and the connection ends
    before its answer arrives. `passed` counts the requests with a word that reached the server.
    """

    def __init__(self, target):
        self._target = target
        self._words = []
        self._received = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def lose_answer_to(self, word, times=1):
        self._words += [word.encode()] * times

    def passed(self, word):
        return sum(word.encode() in request for request in self._received)

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        server = socket.create_connection(("127.0.0.1", self._target))
        losing = threading.Event()

        def answers():
            with suppress(OSError):
                while answer := server.recv(65536):
                    if losing.is_set():
                        break
                    client.sendall(answer)
            self._end(client, server)

        threading.Thread(target=answers, daemon=True).start()
        with suppress(OSError):
            while request := client.recv(65536):
                word = next((each for each in self._words if each in request), None)
                if word:
                    self._words.remove(word)
                    losing.set()
                self._received.append(request)
                server.sendall(request)
        self._end(client, server)

    @staticmethod
    def _end(*ends):
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
