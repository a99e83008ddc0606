"""Write the route document as the pipeline does, and wait until the edge has it."""

import itertools
import json
import time

_versions = itertools.count(1)


class Routes:
    def __init__(self, aws, distribution, edge, hosts):
        self._store = aws.client("cloudfront-keyvaluestore")
        self._cloudfront = aws.client("cloudfront")
        self._ids = distribution
        self._edge = edge
        self.hosts = hosts

    def put(self, *, live="blue", next="green", share=0, epoch=5, hosts=None, wait=True):
        document = {
            "version": next_version(),
            "token": 3,
            "live": live,
            "next": next,
            "share": share,
            "epoch": epoch,
            "hosts": self.hosts if hosts is None else hosts,
        }
        return self.put_text(json.dumps(document), wait=wait)

    def put_text(self, text, *, wait=True):
        arn = self._ids.store_arn
        etag = self._store.describe_key_value_store(KvsARN=arn)["ETag"]
        self._store.put_key(KvsARN=arn, Key="route", Value=text, IfMatch=etag)
        if wait:
            becomes_true(lambda: all(seen == text for seen in self.seen()))
        return text

    def forget(self):
        arn = self._ids.store_arn
        etag = self._store.describe_key_value_store(KvsARN=arn)["ETag"]
        self._store.delete_key(KvsARN=arn, Key="route", IfMatch=etag)
        becomes_true(lambda: not any(self.seen()))

    def seen(self):
        return [location["route"] for location in self._edge.control_endpoint.state["locations"]]

    def promote(self, colour):
        """Make the colour the distribution's own origin, and wait until the edge has it."""
        host, _, port = self.hosts[colour].partition(":")
        answer = self._cloudfront.get_distribution_config(Id=self._ids.id)
        [origin] = answer["DistributionConfig"]["Origins"]["Items"]
        origin["DomainName"] = host
        origin["CustomOriginConfig"]["HTTPPort"] = int(port)
        self._cloudfront.update_distribution(
            Id=self._ids.id,
            IfMatch=answer["ETag"],
            DistributionConfig=answer["DistributionConfig"],
        )
        becomes_true(
            lambda: self._edge.control_endpoint.state["default_origin"] == self.hosts[colour]
        )


def next_version():
    return next(_versions)


def becomes_true(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.01)
