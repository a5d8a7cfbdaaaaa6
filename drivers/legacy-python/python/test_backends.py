# SPDX-License-Identifier: Apache-2.0
"""Tries the worker over the published drivers swift, s3 and azureblob, each with its SDK, against servers made here.

Run as test_worker.py is. The servers keep objects in memory and know just the requests that the SDKs send. They list in
short pages, can be put out of service, and can lose their container.
"""

from __future__ import print_function

import hashlib
import json
import os
import re
import sys
import threading
import unittest

from test_worker import ALIVE, BAD, DRIVERS, PY2, Case, MIB, pattern
from test_worker import main as run

if PY2:
    from BaseHTTPServer import BaseHTTPRequestHandler, HTTPServer
    from urllib import unquote
    from urlparse import parse_qsl
else:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from urllib.parse import parse_qsl, unquote

PAGE = 3


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_any(self):
        path, _, query = self.path.partition("?")
        self.path, self.query = unquote(path), dict(parse_qsl(query, keep_blank_values=True))
        body = self.body()
        self.server.requests.append((self.command, self.path, self.query))
        if self.server.down:
            return self.answer(503, b"down")
        self.respond(self.server.objects, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while True:
            size = int(self.rfile.readline(), 16)
            parts.append(self.rfile.read(size))
            self.rfile.readline()
            if not size:
                return b"".join(parts)

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def page(self, objects, most=PAGE):
        """[(name, size or None for a folder)] of one page of a listing, and whether there is more."""
        prefix, marker = self.query.get("prefix", ""), self.query.get("marker", "")
        found = {}
        for name in objects:
            if name.startswith(prefix):
                head, slash, _ = name[len(prefix) :].partition(self.query.get("delimiter") or "\n")
                found[prefix + head + slash] = None if slash else len(objects[name])
        names = [name for name in sorted(found) if name > marker]
        return [(name, found[name]) for name in names[:most]], len(names) > most

    def content(self, content, **headers):
        wanted = re.match(r"bytes=(\d+)-(\d+)$", self.headers.get("Range") or self.headers.get("x-ms-range") or "")
        if wanted is None:
            return self.answer(200, content, **headers)
        first, last = map(int, wanted.groups())
        self.answer(206, content[first : last + 1], **headers)


class Server(HTTPServer):
    def __init__(self, handler):
        HTTPServer.__init__(self, ("127.0.0.1", 0), handler)
        self.objects, self.requests, self.uploads = {}, [], {}
        self.down = False
        self.container = True
        thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        thread.daemon = True
        thread.start()

    def process_request(self, request, address):  # a connection that is kept must not hold up others
        thread = threading.Thread(target=self.process_one, args=(request, address))
        thread.daemon = True
        thread.start()

    def process_one(self, request, address):
        try:
            self.finish_request(request, address)
        except (OSError, IOError, ValueError):
            pass
        self.shutdown_request(request)


class Swift(Handler):
    def respond(self, objects, body):
        if self.path == "/auth/v1.0":
            url = "http://127.0.0.1:%d/v1/account" % self.server.server_port
            return self.answer(200, X_Storage_Url=url, X_Auth_Token="token")
        _, _, _, container, name = (self.path + "/").split("/", 4)
        name = name[:-1]
        if not self.server.container or container != "images":
            return self.answer(404)
        if not name:
            page, _ = self.page(objects, min(PAGE, int(self.query.get("limit", PAGE))))
            items = [{"subdir": n} if size is None else {"name": n, "bytes": size} for n, size in page]
            return self.answer(200, json.dumps(items).encode("ascii"), Content_Type="application/json")
        if self.command == "PUT":
            objects[name] = body
            return self.answer(201, Etag="0")
        if name not in objects:
            return self.answer(404)
        if self.command == "DELETE":
            del objects[name]
            return self.answer(204)
        self.content(objects[name])


class S3(Handler):
    def respond(self, objects, body):
        bucket, _, name = self.path[1:].partition("/")
        if not self.server.container or bucket != "images":
            return self.answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        if not name:
            return self.answer(200, self.listing(objects))
        if "uploads" in self.query or "uploadId" in self.query:
            return self.multipart(objects, name, body)
        if self.command == "PUT":
            objects[name] = body
            return self.answer(200, ETag='"%s"' % hashlib.md5(body).hexdigest())
        if name not in objects:
            return self.answer(404)
        if self.command == "DELETE":
            del objects[name]
            return self.answer(204)
        self.content(objects[name], ETag='"0"', Last_Modified="Thu, 01 Jan 2015 00:00:00 GMT")

    def multipart(self, objects, name, body):
        result = "<Key>%s</Key><UploadId>1</UploadId>" % name
        parts = self.server.uploads.setdefault(name, {})
        if self.command == "PUT":
            parts[int(self.query["partNumber"])] = body
            return self.answer(200, ETag='"%s"' % hashlib.md5(body).hexdigest())
        if self.command == "GET":
            for number in parts:
                result += "<Part><PartNumber>%d</PartNumber><ETag>0</ETag></Part>" % number
        elif "uploadId" in self.query:
            del self.server.uploads[name]
            objects[name] = b"".join(parts[number] for number in sorted(parts))
        self.answer(200, ("<Result>%s</Result>" % result).encode("ascii"))

    def listing(self, objects):
        page, more = self.page(objects)
        items = "<IsTruncated>%s</IsTruncated>" % str(more).lower()
        if more:
            items += "<NextMarker>%s</NextMarker>" % page[-1][0]
        for name, size in page:
            key = "<Contents><Key>%s</Key><Size>%s</Size></Contents>" % (name, size)
            items += "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>" % name if size is None else key
        return ("<ListBucketResult>%s</ListBucketResult>" % items).encode("ascii")


class Azure(Handler):
    def respond(self, objects, body):
        _, container, name = (self.path + "/").split("/", 2)
        name = name[:-1]
        if self.command == "PUT" and not name:
            return self.answer(201 if self.server.container else 404)
        if not self.server.container:
            return self.answer(404)
        if not name:
            return self.answer(200, self.listing(objects))
        if self.query.get("comp") == "block":
            self.server.uploads.setdefault(name, {})[self.query["blockid"]] = body
            return self.answer(201)
        if self.query.get("comp") == "blocklist":
            blocks = self.server.uploads.pop(name, {})
            objects[name] = b"".join(blocks[b] for b in re.findall("<Latest>(.*?)</Latest>", body.decode("ascii")))
            return self.answer(201)
        if self.command == "PUT":
            objects[name] = body
            return self.answer(201)
        if name not in objects:
            return self.answer(404, b"<Error><Code>BlobNotFound</Code></Error>")
        if self.command == "DELETE":
            del objects[name]
            return self.answer(202)
        self.content(objects[name])

    def listing(self, objects):
        page, more = self.page(objects)
        items = ""
        for name, size in page:
            blob = "<Blob><Name>%s</Name><Properties><Content-Length>%s</Content-Length></Properties></Blob>" % (name, size)
            items += "<BlobPrefix><Name>%s</Name></BlobPrefix>" % name if size is None else blob
        marker = page[-1][0] if more else ""
        text = "<EnumerationResults><Blobs>%s</Blobs><NextMarker>%s</NextMarker></EnumerationResults>" % (items, marker)
        return text.encode("ascii")


class Backend(object):
    """What a server that works must show through any of the drivers."""

    translate = ()
    claims_range = False
    ranges = False

    def setUp(self):
        super(Backend, self).setUp()
        self.server = Server(self.handler)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.good = self.begin()
        self.fill(self.good)

    def begin(self, canary=None):
        worker = self.worker()
        folders = [self.folder, BAD] + ([DRIVERS] if DRIVERS else [])
        started = worker.start(
            self.driver,
            path="/root",
            config=self.config(self.server.server_port),
            module_path=folders,
            translate=self.translate,
            canary=canary,
        )
        self.assertEqual(started["claims_range"], self.claims_range)
        return worker

    def test_every_call(self):
        good = self.good
        self.assertEqual(good.call("stat", key="a/b"), {"kind": "object", "size": 10, "end": True})
        self.assertEqual(good.call("stat", key="a")["kind"], "folder")
        self.assertEqual(good.call("stat", key="a/c")["kind"], "absent")
        self.assertEqual(good.frames("get", key="a/b", most=10)[0][1], b"0123456789")
        self.assertEqual(good.read("a/b", 2, 3, ranged=self.ranges), b"234")
        self.assertEqual(good.read("a/b"), b"0123456789")
        self.refused("absent", good.read, "a/c", 0, 1, 1)
        self.assertEqual(good.call("remove", key="a"), {"removed": False, "end": True})
        self.assertEqual(good.call("remove", key="a/b"), {"removed": True, "end": True})
        self.assertEqual(good.call("remove", key="a/b"), {"removed": False, "end": True})

    def test_write(self):
        for size in (0, 1, 3 * MIB + 5, 11 * MIB):
            path = self.file(pattern(size))
            answer = self.good.call("write", key="w/x", file=path, size=size, verify="bytes", ranged=self.ranges)
            self.assertEqual(answer, {"size": size, "end": True})
            self.assertEqual(self.good.read("w/x"), pattern(size))

    def test_listings_are_whole(self):
        for number in range(10):
            self.good.call("put", b"12", key="f/%d" % number, verify="size")
            self.good.call("put", b"12", key="f/s%d/x" % number, verify="size")
        objects = [(str(number), "object", 2) for number in range(10)]
        folders = [("s%d" % number, "folder", None) for number in range(10)]
        self.assertEqual(self.good.names("f"), objects + folders)
        self.assertEqual(self.good.names(""), [(name, "folder", None) for name in (".driver", "a", "f")])
        self.assertTrue(self.good.call("list", key="g")["absent"])

    def test_self_test(self):
        answer = self.good.call("self_test", write=True, canary=None)
        self.assertEqual((answer["range"], answer["list"], answer["empty"]), (self.ranges, True, True), answer)
        self.assertEqual(answer["removes_by_prefix"], False)
        self.assertEqual(self.good.names(".driver"), [("alive", "object", 9)])

    def test_find_canary(self):
        self.assertEqual(self.good.call("find_canary")["key"], ALIVE)
        self.good.call("remove", key=ALIVE)
        self.assertEqual(self.good.call("find_canary")["key"], "a/b")

    def refused_everywhere(self):
        path = self.file(b"12")
        read = {"offset": 0, "length": 2, "size": 10, "ranged": False, "window": 100}
        for call, fields in (
            ("stat", {"key": "a/b"}),
            ("list", {"key": "a"}),
            ("get", {"key": "a/b", "most": 100}),
            ("read", dict(read, key="a/b")),
            ("put", {"key": "a/b", "verify": "size"}),
            ("write", {"key": "a/b", "file": path, "size": 2, "verify": "size"}),
            ("remove", {"key": "a/b"}),
        ):
            self.refused("unavailable", self.good.call, call, **fields)

    def test_without_its_container(self):
        self.server.container = False
        self.refused_everywhere()


class SwiftCase(Backend, Case):
    driver, handler = "swift", Swift
    claims_range = ranges = True

    def config(self, port):
        return {
            "swift_authurl": "http://127.0.0.1:%d/auth/v1.0" % port,
            "swift_auth_version": "1",
            "swift_user": "user",
            "swift_password": "password",
            "swift_container": "images",
        }

    def test_absent_needs_no_canary(self):
        self.good.call("canary", key=None)
        self.assertEqual(self.good.call("stat", key="a/c")["kind"], "absent")
        self.assertTrue(self.good.call("list", key="c")["absent"])

    def test_all_below_a_folder(self):
        for name in ("a", "a-", "a/b/c", "a/b-", "a0", "d//e", "d/"):
            self.server.objects["root/f/" + name] = b"12"
        below = ["a", "a-", "a/b-", "a/b/c", "a0"]
        for after, limit, expected, more in (
            ("", 10, below, False),
            ("", 2, below[:2], True),
            ("a-", 2, below[2:4], True),
            ("a/b-", 2, below[3:], False),
            ("a0", 1, [], False),
        ):
            frames = self.good.frames("list_below", key="f", after=after, limit=limit)
            names = [tuple(entry) for header, _ in frames for entry in header.get("names", ())]
            self.assertEqual(names, [(name, "object", 2) for name in expected])
            self.assertEqual(frames[-1][0]["more"], more)
        self.assertEqual(self.good.call("list_below", key="g", limit=1), {"more": False, "end": True})
        self.server.container = False
        self.refused("unavailable", self.good.call, "list_below", key="f", limit=1)

    def test_a_service_that_is_down(self):
        self.server.down = True  # the SDK tries 5 times, for half a minute
        self.good.sock.settimeout(60)
        error = self.refused("unavailable", self.good.call, "stat", key="a/b")
        self.assertEqual(error["type"], "ClientException")


class S3Case(Backend, Case):
    driver, handler = "s3", S3
    claims_range = ranges = True

    def config(self, port):
        return {
            "boto_host": "127.0.0.1",
            "boto_port": port,
            "boto_bucket": "images",
            "boto_calling_format": "boto.s3.connection.OrdinaryCallingFormat",
            "s3_access_key": "access",
            "s3_secret_key": "secret",
            "s3_secure": False,
        }


class AzureCase(Backend, Case):
    """Over a driver that is the published one but for the host, which can't be configured."""

    driver, handler = "azure_here", Azure
    claims_range = ranges = True

    def begin(self, canary=None):
        folder = os.path.join(self.folder, "docker_registry", "drivers")
        if not os.path.isdir(folder):
            os.makedirs(folder)
            with open(os.path.join(folder, "azure_here.py"), "w") as file:
                file.write(AZURE_HERE)
        return super(AzureCase, self).begin(canary)

    def config(self, port):
        return {
            "azure_storage_account_name": "localhost",
            "azure_storage_account_key": "a2V5",
            "azure_storage_container": "images",
            "test_port": port,
        }


AZURE_HERE = """
from docker_registry.drivers import azureblob

class Storage(azureblob.Storage):
    def _init_container(self):
        self._blob.host_base = ":%d" % self._config.test_port
        super(Storage, self)._init_container()
"""

if __name__ == "__main__":
    run()
