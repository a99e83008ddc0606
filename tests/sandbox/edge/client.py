"""A client with one kept connection to the edge."""

import http.client
import json
from urllib.parse import urlsplit


class Answer(http.client.HTTPResponse):
    """A complete answer; a header is `answer["name"]`, None if it is missing."""

    def __getitem__(self, name):
        return self.headers[name]


class Client:
    """Sends one request after the other."""

    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        self.connection.response_class = Answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def ask(self, path="/", method="GET", body=None, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, body, named)
        answer = self.connection.getresponse()
        answer.text = answer.read().decode()
        return answer

    def colour(self, number=None, **headers):
        if number is not None:
            headers["cookie"] = f"kanvaro-viewer={number:016x}"
        return json.loads(self.ask(**headers).text)["revision"]


def received(answer):
    return dict(json.loads(answer.text)["headers"])
