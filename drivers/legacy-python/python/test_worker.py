# SPDX-License-Identifier: Apache-2.0
"""Tries longshore_worker.py as the Rust process uses it: over a socket pair, with drivers that are real and that are bad.

    PYTHON test_worker.py            with docker-registry-core installed for PYTHON, or
    WORKER_DRIVERS=DIR PYTHON ...    with DIR (the site-packages of a virtualenv, say) having the package docker_registry
"""

from __future__ import print_function

import errno
import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
WORKER = os.path.join(HERE, "longshore_worker.py")
BAD = os.path.join(os.path.dirname(HERE), "tests", "bad")
DRIVERS = os.environ.get("WORKER_DRIVERS")
PY2 = sys.version_info[0] == 2
if not PY2:
    import importlib.util

KIB, MIB = 1024, 1024 * 1024
ALIVE = ".driver/alive"

BOOTSTRAP = """import os, struct
def take(n): return b"" if n == 0 else (lambda got: got + take(n - len(got)))(os.read(0, n))
exec(compile(take(struct.unpack(">I", take(4))[0]), "longshore_worker.py", "exec"), {"__name__": "__main__"})
"""


class Refused(Exception):
    """An error frame."""

    def __init__(self, error):
        super(Refused, self).__init__("%(kind)s: %(message)s\n%(traceback)s" % error)
        self.error = error


class Gone(Exception):
    """The worker has ended."""


class Worker(object):
    """A worker's process, and the Rust process's end of its socket."""

    def __init__(self, **popen):
        popen.setdefault("preexec_fn", os.setpgrp)
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(30)
        self.noise = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, "-c", BOOTSTRAP], stdin=theirs, stdout=self.noise, stderr=self.noise, close_fds=True, **popen
        )
        theirs.close()
        with open(WORKER, "rb") as file:
            source = file.read()
        self.sock.sendall(struct.pack(">I", len(source)) + source)

    def send(self, call, body=b"", **fields):
        text = json.dumps(dict(fields, call=call)).encode("ascii")
        try:
            self.sock.sendall(struct.pack(">II", len(text), len(body)) + text + body)
        except (OSError, IOError) as error:  # it may end before it was told to go on
            raise Gone(str(error))

    def receive(self):
        head, length = struct.unpack(">II", self._exactly(8))
        return json.loads(self._exactly(head).decode("ascii")), self._exactly(length)

    def _exactly(self, count):
        parts = []
        while count:
            try:
                part = self.sock.recv(count)
            except (OSError, IOError) as error:
                raise Gone(str(error))
            if not part:
                raise Gone
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def frames(self, call, body=b"", **fields):
        """All frames of the answer; an error frame is raised, with what came before it as `frames`."""
        self.send(call, body, **fields)
        frames = []
        while True:
            header, content = self.receive()
            if "error" in header:
                refused = Refused(header["error"])
                refused.frames = frames
                raise refused
            frames.append((header, content))
            if header.get("end"):
                return frames

    def call(self, call, body=b"", **fields):
        """The last frame's header."""
        return self.frames(call, body, **fields)[-1][0]

    def start(self, driver, **fields):
        folders = [BAD] + ([DRIVERS] if DRIVERS else [])
        return self.call("start", **dict({"driver": driver, "path": None, "config": {}, "module_path": folders}, **fields))

    def names(self, folder, **fields):
        frames = self.frames("list", key=folder, **fields)
        return [tuple(entry) for header, _ in frames for entry in header.get("names", ())]

    def read(self, key, offset=0, length=None, size=None, ranged=False, window=8 * MIB):
        size = size if size is not None else self.call("stat", key=key)["size"]
        length = size - offset if length is None else length
        self.send("read", key=key, offset=offset, length=length, size=size, ranged=ranged, window=window)
        parts = []
        while True:
            header, content = self.receive()
            if "error" in header:
                raise Refused(header["error"])
            if header.get("end"):
                return b"".join(parts)
            assert header == {"data": True}, header
            parts.append(content)
            self.send("more", bytes=len(content))

    def log(self):
        self.noise.seek(0)
        return self.noise.read().decode("utf-8", "replace")

    def wait(self, seconds=10):
        end = time.time() + seconds
        while self.process.poll() is None and time.time() < end:
            time.sleep(0.01)
        return self.process.poll()

    def end(self):
        self.sock.close()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except OSError:
            pass
        self.process.wait()
        self.noise.close()


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.root = os.path.join(self.folder, "root")
        self.switch = os.path.join(self.folder, "switch")

    def worker(self, driver=None, canary=None, path=None, **config):
        worker = Worker()
        self.addCleanup(worker.end)
        if driver:
            worker.start(driver, path=path or self.root, config=config, canary=canary)
        return worker

    def store(self, driver, **config):
        """A worker over a driver that turns bad at the switch, with a canary and an object `a/b` of 10 bytes."""
        worker = self.worker(driver, switch=self.switch, **config)
        self.fill(worker)
        return worker

    def fill(self, worker):
        worker.call("put", b"longshore", key=ALIVE, verify="bytes")
        worker.call("put", b"0123456789", key="a/b", verify="bytes")
        worker.call("canary", key=ALIVE)

    def turn(self):
        open(self.switch, "w").close()

    def file(self, content):
        path = os.path.join(self.folder, "upload")
        with open(path, "wb") as file:
            file.write(content)
        return path

    def at(self, key):
        return os.path.join(self.root, key)

    def refused(self, kind, call, *arguments, **fields):
        with self.assertRaises(Refused) as caught:
            call(*arguments, **fields)
        error = caught.exception.error
        self.assertEqual(error["kind"], kind, caught.exception)
        return error


def pattern(size):
    return (bytes(bytearray(range(251))) * (size // 251 + 1))[:size]


# -------------------------------------------------------------------------------------------------------- the process


class ProcessCase(Case):
    def test_ends_silently_when_the_socket_closes(self):
        worker = self.worker("file")
        worker.sock.close()
        self.assertIn(worker.wait(), (0, -signal.SIGKILL))
        self.assertEqual(worker.log(), "")

    def test_ends_before_it_was_started(self):
        worker = self.worker()
        worker.sock.close()
        self.assertIn(worker.wait(), (0, -signal.SIGKILL))

    def test_takes_its_forks_with_it(self):
        worker = self.worker("forks")
        worker.call("stat", key="a", unsure_ok=True)
        worker.sock.close()
        self.assertIsNotNone(worker.wait())
        try:
            for _ in range(100):
                os.killpg(worker.process.pid, 0)
                time.sleep(0.05)
            self.fail("a fork lives on")
        except OSError as error:
            self.assertEqual(error.errno, errno.ESRCH)

    def test_refuses_calls_before_start_and_calls_that_are_not_there(self):
        worker = self.worker()
        self.refused("bug", worker.call, "stat", key="a")
        self.refused("bug", worker.call, "no_such_call")
        worker.start("file", path=self.root)
        self.refused("bug", worker.call, "no_such_call")

    def test_noise_becomes_log_lines(self):
        worker = self.worker("prints")
        self.fill(worker)
        self.assertEqual(worker.read("a/b"), b"0123456789")
        worker.sock.close()
        worker.wait()
        log = worker.log()
        self.assertIn("noise at import", log)
        for way in ("print", "sys.__stdout__", "sys.stderr", "write"):
            self.assertIn("noise by %s in put_content" % way, log)

    def test_reads_nothing_on_its_standard_input(self):
        worker = self.worker("file")
        self.assertEqual(os.readlink("/proc/%d/fd/0" % worker.process.pid), os.devnull)
        first = os.readlink("/proc/%d/fd/1" % worker.process.pid)
        self.assertEqual(first, os.readlink("/proc/%d/fd/2" % worker.process.pid))

    def test_the_watchdog_ends_a_worker_that_hangs_when_its_parent_is_gone(self):
        for how in ("sleep", "spin"):
            read, write = os.pipe()
            parent = os.fork()
            if parent == 0:  # this child is the parent that goes; the socket stays open in the test itself
                worker = self.worker("hangs", how=how)
                worker.send("stat", key="a")
                os.write(write, str(worker.process.pid).encode("ascii"))
                time.sleep(0.5)
                os._exit(0)
            os.close(write)
            pid = int(os.read(read, 20))
            os.close(read)
            os.waitpid(parent, 0)
            self.assertTrue(ends(pid), "the worker lives on")

    def test_holds_the_lock_shared_and_so_do_forks(self):
        lock = os.path.join(self.folder, "lock")
        worker = self.worker()
        worker.start("forks", path=self.root, config={"seconds": 3, "calls": ["exists"]}, lock=lock)
        worker.call("stat", key="a", unsure_ok=True)
        with open(lock) as file:
            self.assertRaises(IOError, fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
            worker.process.kill()
            worker.process.wait()
            self.assertRaises(IOError, fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.killpg(worker.process.pid, signal.SIGKILL)
            fcntl.flock(file, fcntl.LOCK_EX)

    def test_a_fork_that_comes_back_from_a_call_does_not_answer(self):
        worker = self.worker("forks", returns=True)
        for _ in range(3):
            self.assertEqual(worker.call("stat", key="a", unsure_ok=True)["kind"], "absent")

    def test_a_driver_that_dies_ends_the_socket(self):
        for how, status in (("exit", 7), ("kill", -signal.SIGKILL)):
            for call in ("read", "write"):
                worker = self.store("dies", how=how, after=MIB)
                size = 3 * MIB
                path = self.file(pattern(size))
                worker.call("write", key="large", file=path, size=size, verify="bytes")
                self.turn()
                if call == "read":
                    self.assertRaises(Gone, worker.read, "large", size=size)
                else:
                    self.assertRaises(Gone, worker.call, "write", key="large", file=path, size=size, verify="size")
                self.assertEqual(worker.wait(), status)
                os.remove(self.switch)

    def test_survives_leaked_descriptors_until_there_are_none(self):
        def few_descriptors():
            os.setpgrp()
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

        worker = Worker(preexec_fn=few_descriptors)
        self.addCleanup(worker.end)
        worker.start("leaks", path=self.root, config={"switch": self.switch})
        self.fill(worker)
        count = len(os.listdir("/proc/%d/fd" % worker.process.pid))
        self.turn()
        for _ in range(5):
            worker.call("stat", key="a/b")
        self.assertGreater(len(os.listdir("/proc/%d/fd" % worker.process.pid)), count + 4)
        with self.assertRaises(Refused) as caught:
            for _ in range(100):
                worker.call("get", key="a/b", most=100)
        self.assertEqual(worker.call("canary", key=None).get("worn"), True)
        self.assertEqual(caught.exception.error["kind"], "unavailable")
        self.assertEqual(caught.exception.error["errno"], 24)


    def test_says_that_it_is_worn_out(self):
        worker = self.store("leaks")
        self.assertNotIn("worn", worker.call("stat", key="a/b"))
        self.turn()
        for _ in range(200):
            answer = worker.call("stat", key="a/b")
        self.assertEqual(answer["worn"], True)


def ends(pid, seconds=10):
    end = time.time() + seconds
    while time.time() < end:
        try:
            os.kill(pid, 0)
        except OSError:
            return True
        with open("/proc/%d/stat" % pid) as file:
            if file.read().rpartition(")")[2].split()[0] == "Z":  # whoever inherited it may not have waited yet
                return True
        time.sleep(0.05)
    return False


# --------------------------------------------------------------------------------------------------------------- start


class StartCase(Case):
    def test_tells_what_it_loaded(self):
        worker = self.worker()
        started = worker.start("file", path=self.root)
        self.assertEqual(started["python"], "%d.%d.%d" % sys.version_info[:3])
        self.assertEqual(started["class"], "docker_registry.drivers.file.Storage")
        self.assertIn(started["version"], ("2.0.3", None))
        self.assertEqual(started["claims_range"], True)
        self.assertEqual("docker_registry.core.driver" in started["translated"], not PY2)
        self.assertEqual(sorted(started), ["claims_range", "class", "end", "python", "translated", "version"])

    def test_is_quick(self):
        times = []
        for _ in range(3):
            begun = time.time()
            self.worker("file")
            times.append(time.time() - begun)
        self.assertLess(min(times), 0.4)

    def refused_start(self, driver, **fields):
        error = self.refused("configuration", self.worker().start, driver, **fields)
        self.assertEqual(error["driver"], driver)
        return error

    def test_names_the_drivers_that_are_there(self):
        error = self.refused_start("no_such_driver")
        self.assertIn("there is no driver no_such_driver; there are ", error["message"])
        self.assertIn("dumb", error["message"])

    def test_says_what_an_import_lacks(self):
        error = self.refused_start("missing_module")
        self.assertIn("an_sdk_that_is_not_there", error["message"])
        self.assertEqual(error["type"], "ImportError" if PY2 else "ModuleNotFoundError")

    def test_says_what_an_import_raised(self):
        error = self.refused_start("raises_at_import")
        self.assertIn("this driver does not like to be imported", error["message"])
        self.assertRegex(error["where"], r"^raises_at_import\.py:\d+ in <module>$")

    if PY2:
        assertRegex = unittest.TestCase.assertRegexpMatches

    def test_says_that_there_is_no_class(self):
        self.assertIn("no class Storage", self.refused_start("no_storage")["message"])

    def test_says_what_a_constructor_raised(self):
        error = self.refused_start("raises_at_construction")
        self.assertIn("bucket", error["message"])
        self.assertEqual((error["call"], error["cause"]), ("__init__", "bug"))
        error = self.refused_start("raises_at_construction", config={"raise": "SystemExit"})
        self.assertIn("no bucket is configured", error["message"])
        error = self.refused_start("raises_at_construction", config={"raise": "IOError"})
        self.assertEqual((error["cause"], error["errno"]), ("unavailable", 111))

    def test_may_be_started_again_after_a_failure(self):
        worker = self.worker()
        self.refused("configuration", worker.start, "raises_at_construction")
        worker.start("file", path=self.root)
        self.assertEqual(worker.call("stat", key="a", unsure_ok=True)["kind"], "absent")

    def test_says_that_docker_registry_is_not_there(self):
        worker = Worker(env={})
        self.addCleanup(worker.end)
        # Where it is installed for this Python it can't be made to be missing; an empty directory takes its place.
        empty = os.path.join(self.folder, "docker_registry", "drivers")
        os.makedirs(empty)
        error = self.refused("configuration", worker.start, "nobody", module_path=[self.folder])
        self.assertIn("nobody" if has_core_installed() else "docker-registry-core is not installed", error["message"])

    def test_config_is_as_docker_registry_gives_it(self):
        probe = os.path.join(self.folder, "docker_registry", "drivers")
        os.makedirs(probe)
        with open(os.path.join(probe, "probe.py"), "w") as file:
            file.write(PROBE)
        folders = [self.folder, BAD] + ([DRIVERS] if DRIVERS else [])
        config = {"name": "value", "nested": {"inner": "x"}, "list": ["y"], "odd": u"\u00fc"}
        worker = self.worker()
        worker.start("probe", path="/some/path", config=config, module_path=folders)
        worker = self.worker()
        config["storage_path"] = "/some/path"
        worker.start("probe", path=None, config=config, module_path=folders)

    def test_lru_stays_off(self):
        worker = self.worker("file")
        self.fill(worker)
        worker.call("put", b"0123456789", key="a/b", verify="bytes")
        os.remove(self.at("a/b"))
        worker.call("put", b"0123456789", key="a/b", verify="bytes")
        self.assertTrue(os.path.exists(self.at("a/b")))


PROBE = '''
import copy
from docker_registry.drivers import file

class Storage(file.Storage):
    def __init__(self, path, config):
        super(Storage, self).__init__(path, config)
        assert path == config.storage_path == config["storage_path"] == "/some/path", path
        assert type(path) is str and type(config.name) is str and type(config.list[0]) is str
        assert config.name == config["name"] == config.get("name") == "value"
        assert config.missing is None and config["missing"] is None and config.get("missing", 7) == 7
        assert config.nested.inner == config["nested"]["inner"] == "x" and config.nested.missing is None
        assert "name" in config and "missing" not in config and set(map(type, config.keys())) == set([str])
        assert config.odd == u"\\u00fc"
        assert copy.deepcopy(config).nested.inner == "x"
        assert "value" not in repr(config)
        assert self.scheme == "probe"
'''


def has_core_installed():
    return any(os.path.isdir(os.path.join(entry, "docker_registry", "core")) for entry in sys.path if entry)


class TranslationCase(Case):
    """Modules of Python 2 under Python 3."""

    def load(self, source, **fields):
        folder = os.path.join(self.folder, "modules")
        for name, text in source.items():
            path = os.path.join(folder, name)
            if not os.path.isdir(os.path.dirname(path)):
                os.makedirs(os.path.dirname(path))
            with open(path, "w") as file:
                file.write(text)
        worker = self.worker()
        folders = [folder, BAD] + ([DRIVERS] if DRIVERS else [])
        return worker, worker.start("old", path=self.root, module_path=folders, **fields)

    def test_division_names_modules_and_methods_of_python_2(self):
        _, started = self.load({"docker_registry/drivers/old.py": OLD})
        self.assertIn("docker_registry.drivers.old", started["translated"])

    def test_syntax_and_tabs_of_python_2(self):
        cache = os.path.join(self.folder, "cache")
        os.mkdir(cache)
        source = {"docker_registry/drivers/old.py": OLD_SYNTAX, "docker_registry/drivers/beside.py": "VALUE = 7 / 2\n"}
        if not has_2to3():
            error = self.refused("configuration", self.load, source)
            self.assertIn("install fissix into the virtualenv", error["message"])
            return
        for _ in range(2):
            _, started = self.load(source, cache=cache)
            self.assertIn("docker_registry.drivers.old", started["translated"])
            self.assertEqual(len(os.listdir(cache)), 1)

    def test_other_packages_only_where_they_are_named(self):
        source = {"old_sdk/__init__.py": "HALF = 7 / 2\nreduce\n", "docker_registry/drivers/old.py": USES_SDK}
        error = self.refused("configuration", self.load, source)
        self.assertIn("reduce", error["message"])
        _, started = self.load(source, translate=["old_sdk"])
        self.assertIn("docker_registry.drivers.old", started["translated"] + ["docker_registry.drivers.old"])

    def test_a_hint_where_an_sdk_is_python_2(self):
        source = {"old_sdk/__init__.py": "print 1\n", "docker_registry/drivers/old.py": USES_SDK}
        self.assertIn("translate", self.refused("configuration", self.load, source)["message"])

    def test_writes_no_bytecode(self):
        self.load({"docker_registry/drivers/old.py": OLD})
        found = [name for _, _, names in os.walk(os.path.join(self.folder, "modules")) for name in names]
        self.assertEqual(found, ["old.py"])


if PY2:  # which has nothing to translate
    del TranslationCase


def has_2to3():
    return any(importlib.util.find_spec(name) for name in ("lib2to3", "fissix"))


OLD = '''
import types, urllib, urllib2, httplib, StringIO
from urllib import quote_plus
import gevent.monkey
import imp
import redis
gevent.monkey.patch_all()
from docker_registry.drivers import file

assert 204 / 100 == 2 and 7.0 / 2 == 3.5
x = 9
x /= 2
assert x == 4
assert urllib.quote_plus("a b") == quote_plus("a b") == "a+b"
assert urllib2.HTTPError and httplib.HTTPConnection and urllib2.urlopen
assert StringIO.StringIO(b"x").read() == b"x"
d = {"a": 1}
assert list(d.iteritems()) == [("a", 1)] and d.has_key("a") and not d.has_key("b")
assert isinstance(u"x", unicode) and isinstance("x", basestring) and long(1) == 1 and list(xrange(2)) == [0, 1]
assert isinstance("x", types.StringTypes) and reduce(lambda a, b: a + b, [1, 2]) == 3
assert redis.exceptions.ConnectionError and imp.find_module

class Storage(file.Storage):
    pass
'''

OLD_SYNTAX = '''
from docker_registry.drivers import file
from beside import VALUE
import beside

class Storage(file.Storage):
        def __init__(self, path, config):
\t\tsuper(Storage, self).__init__(path, config)
                try:
\t\t\traise ValueError, "no"
                except ValueError, error:
\t\t\tprint "it was", error
                assert VALUE == beside.VALUE == 3
                assert 0777 == 511
'''

USES_SDK = '''
import old_sdk
from docker_registry.drivers import file

class Storage(file.Storage):
    assert old_sdk.HALF == 3
'''


# -------------------------------------------------------------------------------------------------- the driver `file`


class FileCase(Case):
    """Every call over a driver that works."""

    driver = "file"

    def setUp(self):
        super(FileCase, self).setUp()
        self.good = self.store(self.driver)

    def test_stat(self):
        self.assertEqual(self.good.call("stat", key="a/b"), {"kind": "object", "size": 10, "end": True})
        self.assertEqual(self.good.call("stat", key="a"), {"kind": "folder", "size": None, "end": True})
        self.assertEqual(self.good.call("stat", key="a/c"), {"kind": "absent", "size": None, "end": True})
        self.assertEqual(self.good.call("stat", key="a/b/c")["kind"], "absent")

    def test_get(self):
        (header, body), = self.good.frames("get", key="a/b", most=10)
        self.assertEqual((header, body), ({"kind": "object", "size": 10, "end": True}, b"0123456789"))
        (header, body), = self.good.frames("get", key="a/b", most=9)
        self.assertEqual((header, body), ({"kind": "object", "size": 10, "large": True, "end": True}, b""))
        self.assertEqual(self.good.call("get", key="a", most=9)["kind"], "folder")
        self.assertEqual(self.good.call("get", key="z", most=9)["kind"], "absent")

    def test_read(self):
        for ranged in (False, True):
            self.assertEqual(self.good.read("a/b", ranged=ranged), b"0123456789")
            self.assertEqual(self.good.read("a/b", 2, 3, ranged=ranged), b"234")
            self.assertEqual(self.good.read("a/b", 9, 1, ranged=ranged), b"9")
            self.assertEqual(self.good.read("a/b", 0, 0, ranged=ranged), b"")
            self.refused("short", self.good.read, "a/b", 5, 10, ranged=ranged)
            self.refused("absent", self.good.read, "a/c", 0, 10, 10, ranged=ranged)
        self.refused("absent", self.good.read, "a", 0, 10, 10)

    def test_read_in_frames_of_a_quarter_to_one_mib(self):
        size = 5 * MIB + 12345
        content = self.large(size)
        for ranged in (False, True):
            frames = self.good.frames("read", key="large", offset=0, length=size, size=size, ranged=ranged, window=2 * size)
            self.assertEqual(frames.pop()[0], {"end": True})
            lengths = [len(body) for _, body in frames]
            self.assertTrue(all(256 * KIB <= length <= MIB for length in lengths[:-1]), lengths)
            self.assertEqual(b"".join(body for _, body in frames), content)
            self.assertEqual(self.good.read("large", 1234567, 2 * MIB, ranged=ranged), content[1234567:][: 2 * MIB])

    def large(self, size):
        content = pattern(size)
        self.good.call("write", key="large", file=self.file(content), size=size, verify="bytes")
        return content

    def test_read_keeps_within_the_window(self):
        size = 5 * MIB
        content = self.large(size)
        for window in (100, 300 * KIB, MIB, 1500 * KIB):
            self.good.send("read", key="large", offset=0, length=size, size=size, ranged=True, window=window)
            time.sleep(0.1)
            got = []
            while sum(map(len, got)) + min(window, MIB) <= window:
                got.append(self.good.receive()[1])
            self.good.sock.settimeout(0.1)
            self.assertRaises(Gone, self.good.receive)
            self.good.sock.settimeout(30)
            while True:
                self.good.send("more", bytes=len(got[-1]))
                header, body = self.good.receive()
                if header.get("end"):
                    break
                got.append(body)
                if window == 100 and len(got) == 50:
                    self.good.send("stop")
                    self.assertTrue(self.until_end().get("stopped"))
                    break
            self.assertTrue(content.startswith(b"".join(got)))

    def until_end(self):
        while True:
            header, _ = self.good.receive()
            if header.get("end"):
                return header

    def test_stop_is_heard_between_pieces_and_while_waiting(self):
        size = 40 * MIB
        self.large(size)
        for window in (MIB, 2 * size):
            self.good.send("read", key="large", offset=0, length=size, size=size, ranged=False, window=window)
            self.good.receive()
            self.good.send("stop")
            self.assertEqual(self.until_end(), {"end": True, "stopped": True})
            self.assertEqual(self.good.read("a/b"), b"0123456789")

    def test_late_grants_and_stops_are_passed_over(self):
        self.good.send("more", bytes=10)
        self.good.send("stop")
        self.assertEqual(self.good.read("a/b"), b"0123456789")

    def test_list(self):
        for key in ("f/b", "f/a/x", "f/a/y", "f/a-", "f/a0"):
            self.good.call("put", b"12", key=key, verify="bytes")
        for stray in (b"f/\xff", u"f/\u00fc".encode("utf-8"), b"f/with space", b"\xfe"):
            open(os.path.join(self.root.encode("ascii"), stray), "w").close()
        entries = self.good.names("f")
        self.assertEqual(
            entries,
            [("a-", "object", 2), ("a", "folder", None), ("a0", "object", 2), ("b", "object", 2)],
        )
        self.assertEqual([name for name, _, _ in self.good.names("")], [".driver", "a", "f"])
        self.assertEqual(self.good.frames("list", key="nothing"), [({"absent": True, "end": True}, b"")])
        self.assertEqual(self.good.frames("list", key="a/b"), [({"absent": True, "end": True}, b"")])

    def test_list_of_many(self):
        os.mkdir(self.at("many"))
        for number in range(2500):
            open(self.at("many/%d" % number), "w").close()
        frames = self.good.frames("list", key="many")
        self.assertEqual([len(header.get("names", ())) for header, _ in frames], [1000, 1000, 500, 0])
        names = [name for header, _ in frames for name, _, _ in header.get("names", ())]
        self.assertEqual(names, sorted(str(number) for number in range(2500)))

    def test_list_from_and_to(self):
        for key in ("f/a", "f/b/x", "f/b-", "f/b0", "f/c"):
            self.good.call("put", b"1", key=key, verify="size")
        for start, limit, expected, more in (
            ("", 2, ["a", "b-"], True),
            ("", 5, ["a", "b-", "b", "b0", "c"], False),
            ("b", None, ["b-", "b", "b0", "c"], False),
            ("b/", 2, ["b", "b0"], True),
            ("b0", None, ["b0", "c"], False),
            ("c\0", None, [], False),
        ):
            fields = {"from": start, "limit": limit}
            self.assertEqual([name for name, _, _ in self.good.names("f", **fields)], expected)
            self.assertEqual(self.good.call("list", key="f", **fields)["more"], more)

    def test_list_goes_on_behind_each_name(self):
        folders = ["app", "app+x", "app-dev", "app.old", "appx"]
        for folder in folders:
            self.good.call("put", b"1", key="f/%s/x" % folder, verify="size")
        found, start = [], ""
        while True:
            frames = self.good.frames("list", key="f", limit=1, **{"from": start})
            names = [entry for header, _ in frames for entry in header.get("names", ())]
            found.extend(names)
            if not frames[-1][0]["more"]:
                break
            start = names[-1][0] + "/\0"
        self.assertEqual([tuple(entry) for entry in found], [(f, "folder", None) for f in sorted(folders, key=lambda f: f + "/")])

    def test_folders_that_lead_back_or_far_down(self):
        os.makedirs(self.at("f/loop"))
        for name in ("one", "two"):
            os.symlink(".", self.at("f/loop/" + name))
        deep = self.at("f/deep")
        for _ in range(600):
            deep = os.path.join(deep, "d")
        os.makedirs(deep)
        os.makedirs(self.at("f/linked"))
        os.symlink(self.at("nowhere"), self.at("f/linked/x"))
        self.good.call("put", b"1", key="f/a/b", verify="size")
        self.assertEqual([name for name, _, _ in self.good.names("f")], ["a", "loop"])

    def test_put_where_an_emptied_folder_is_and_where_one_is_not_empty(self):
        for key in ("f/g/h", "g/g/h"):
            self.good.call("put", b"1", key=key, verify="bytes")
        self.good.call("remove", key="f/g/h")
        self.good.call("put", b"1", key="f", verify="bytes")
        self.good.call("remove", key="f")
        self.assertTrue(self.good.call("list", key="", limit=10).get("end"))
        error = self.refused("unavailable", self.good.call, "put", b"1", key="g", verify="bytes")
        self.assertEqual(error["errno"], errno.EISDIR)
        error = self.refused("unavailable", self.good.call, "put", b"1", key="a/b/c", verify="bytes")
        self.assertEqual(error["errno"], errno.ENOTDIR)
        self.assertEqual(self.good.read("g/g/h"), b"1")

    def test_nothing_is_written_where_the_canary_is_gone(self):
        shutil.rmtree(self.root)
        path = self.file(b"12")
        for call, fields in (("put", {"verify": "size"}), ("write", {"file": path, "size": 2, "verify": "size"})):
            error = self.refused("unavailable", self.good.call, call, key="x", **fields)
            self.assertTrue(error["untouched"])
        self.assertFalse(os.path.exists(self.root))

    def test_any_request_may_tell_the_canary(self):
        self.refused("unavailable", self.good.call, "stat", key="z", canary=None)
        self.refused("unavailable", self.good.call, "stat", key="z")
        self.assertEqual(self.good.call("stat", key="z", canary="a/b")["kind"], "absent")
        self.assertEqual(self.good.call("stat", key="z")["kind"], "absent")

    def test_list_of_too_many(self):
        worker = self.worker()
        worker.start(self.driver, path=self.root, config={"switch": self.switch}, most_names=3)
        for name in "abcd":
            worker.call("put", b"", key="f/" + name, verify="size")
        self.assertIn("more than 3 names", self.refused("too_many", worker.call, "list", key="f")["message"])

    def test_emptied_folders_are_not_shown(self):
        self.good.call("put", b"1", key="f/g/h", verify="bytes")
        self.assertTrue(self.good.call("remove", key="f/g/h")["removed"])
        self.assertNotIn("f", [name for name, _, _ in self.good.names("")])
        self.assertEqual(self.good.call("stat", key="f")["kind"], "absent")
        self.assertEqual(self.good.call("stat", key="f/g")["kind"], "absent")
        self.assertTrue(self.good.call("list", key="f/g").get("absent"))

    def test_put(self):
        for content in (b"", b"x", pattern(3 * MIB)):
            for verify in ("bytes", "size"):
                answer = self.good.call("put", content, key="p/q", verify=verify)
                self.assertEqual(answer, {"size": len(content), "end": True})
                self.assertEqual(self.good.frames("get", key="p/q", most=1 << 30)[0][1], content)

    def test_write(self):
        for size in (0, 1, 100, 3 * MIB + 7):
            for verify in ("bytes", "size"):
                for ranged in (True, False):
                    path = self.file(pattern(size))
                    frames = self.good.frames("write", key="w/x", file=path, size=size, verify=verify, ranged=ranged)
                    self.assertEqual(frames[-1][0], {"size": size, "end": True})
                    self.assertEqual(self.good.read("w/x"), pattern(size))

    def test_write_of_the_first_bytes_of_a_longer_file(self):
        self.good.call("write", key="w/x", file=self.file(pattern(1000)), size=10, verify="bytes")
        self.assertEqual(self.good.read("w/x"), pattern(10))

    def test_write_of_a_file_that_turned_short(self):
        error = self.refused(
            "mismatch", self.good.call, "write", key="w/x", file=self.file(pattern(10)), size=11, verify="size"
        )
        self.assertIn("the file ends at 10 of 11 bytes", error["message"])

    def test_remove(self):
        self.assertEqual(self.good.call("remove", key="a"), {"removed": False, "end": True})
        self.assertEqual(self.good.call("remove", key="a/c"), {"removed": False, "end": True})
        self.assertEqual(self.good.call("remove", key="a/b"), {"removed": True, "end": True})
        self.assertEqual(self.good.call("remove", key="a/b"), {"removed": False, "end": True})
        self.assertEqual(self.good.call("stat", key="a/b")["kind"], "absent")

    def test_remove_where_a_sibling_would_go_as_well(self):
        for other in ("a/b1", "a/b-c/d"):
            self.good.call("put", b"1", key=other, verify="bytes")
            error = self.refused("unsafe", self.good.call, "remove", key="a/b", by_prefix=True)
            self.assertIn(other[:4], error["message"])
            self.good.call("remove", key=other)
        shutil.rmtree(self.at("a/b-c"))
        self.assertTrue(self.good.call("remove", key="a/b", by_prefix=True)["removed"])

    def test_find_canary(self):
        self.assertEqual(self.good.call("find_canary")["key"], ALIVE)
        self.good.call("remove", key=ALIVE)
        self.assertEqual(self.good.call("find_canary")["key"], "a/b")
        self.good.call("put", b"", key=".driver/store-id", verify="bytes", canary="a/b")
        self.assertEqual(self.good.call("find_canary")["key"], ".driver/store-id")

    def test_find_canary_in_nothing(self):
        worker = self.worker(self.driver, path=os.path.join(self.folder, "nothing"))
        self.assertEqual(worker.call("find_canary")["key"], None)

    def test_self_test_by_writing(self):
        answer = self.good.call("self_test", write=True, canary=None)
        expected = {"range": True, "removes_by_prefix": False, "list": True, "empty": True}
        expected.update(empty_folders=False, lists_below=False, notes=[], end=True)
        self.assertEqual(answer, expected)
        self.assertEqual(self.good.read(ALIVE), b"longshore")
        self.assertEqual([name for name, _, _ in self.good.names(".driver") if name != "selftest"], ["alive"])

    def test_self_test_by_reading(self):
        answer = self.good.call("self_test", write=False, canary="a/b")
        expected = {"range": True, "removes_by_prefix": None, "list": None, "empty": None}
        expected.update(empty_folders=self.driver != "file", lists_below=False, notes=[], end=True)
        self.assertEqual(answer, expected)
        answer = self.good.call("self_test", write=False, canary=None)
        self.assertEqual((answer["range"], len(answer["notes"])), (False, 1))

    def test_absent_only_while_the_canary_is_there(self):
        for canary, message in ((None, "nothing says that the backend can be reached"), ("gone", "so does gone")):
            self.good.call("canary", key=canary)
            for call, fields in (
                ("stat", {}),
                ("get", {"most": 1}),
                ("read", {"offset": 0, "length": 1, "size": 1, "ranged": False, "window": 1}),
                ("list", {}),
                ("remove", {}),
            ):
                error = self.refused("unavailable", self.good.call, call, key="z/y", **fields)
                self.assertIn(message, error["message"])
        self.good.call("canary", key=None)
        self.assertEqual(self.good.call("stat", key="z", unsure_ok=True)["kind"], "absent")
        self.assertTrue(self.good.call("list", key="z", unsure_ok=True)["absent"])
        self.assertEqual(self.good.call("stat", key="a/b")["kind"], "object")
        self.assertEqual(self.good.names("a")[0][0], "b")

    def test_a_link_to_nothing_is_absent(self):
        os.symlink("loop", self.at("a/loop"))
        self.assertEqual(self.good.call("stat", key="a/loop")["kind"], "absent")


class GenericCase(FileCase):
    """The same, over a driver of which the worker knows nothing."""

    driver = "down"


# ------------------------------------------------------------------------------------------------------------- `dumb`


class DumbCase(Case):
    """Keeps objects in memory, as what they were given as, and lists no deeper than two levels."""

    def setUp(self):
        super(DumbCase, self).setUp()
        self.dumb = self.worker("dumb")
        self.fill(self.dumb)

    def test_put_get_and_remove(self):
        self.assertEqual(self.dumb.frames("get", key="a/b", most=10)[0][1], b"0123456789")
        self.assertEqual(self.dumb.call("stat", key="a/b")["kind"], "object")
        self.assertEqual(self.dumb.call("stat", key="a")["kind"], "folder")
        self.assertEqual(self.dumb.names("a"), [("b", "object", 10)])
        self.dumb.call("put", b"", key="a/bc", verify="bytes")
        self.assertTrue(self.dumb.call("remove", key="a/b")["removed"])
        self.assertEqual(self.dumb.call("stat", key="a/b")["kind"], "absent")
        self.assertEqual(self.dumb.call("stat", key="a/bc")["kind"], "object")
        self.assertEqual(self.dumb.call("find_canary")["key"], ALIVE)

    def test_a_sibling_is_not_below(self):
        self.dumb.call("put", b"", key="ab/c", verify="bytes")
        self.assertEqual(self.dumb.names("a"), [("b", "object", 10)])
        self.assertEqual(self.dumb.call("stat", key="ab")["kind"], "folder")

    def test_what_it_can_not_do(self):
        self.assertEqual(self.refused("bug", self.dumb.read, "a/b", 0, 3, 10)["where"].split(":")[0], "dumb.py")
        self.refused("bug", self.dumb.call, "write", key="w", file=self.file(b"12"), size=2, verify="size")

    def test_self_test(self):
        answer = self.dumb.call("self_test", write=True, canary=None)
        self.assertEqual((answer["range"], answer["removes_by_prefix"], answer["empty"]), (False, False, True))
        self.assertEqual(answer["list"], False)
        self.assertIn("AttributeError", answer["notes"][0])


# -------------------------------------------------------------------------------------------------------- bad drivers


class ExceptionCase(Case):
    KINDS = {
        "SystemExit": "bug",
        "KeyboardInterrupt": "bug",
        "GeneratorExit": "bug",
        "MemoryError": "bug",
        "RecursionError": "bug",
        "Custom": "bug",
        "OldStyle": "bug",
        "TypeError": "bug",
        "NoSpace": "unavailable",
        "timeout": "unavailable",
        "ClientException": "unavailable",
        "UnreachableError": "unavailable",
        "ConfigError": "configuration",
        "WrongArgumentsError": "configuration",
        "NotImplementedError": "unsupported",
    }

    def calls(self, worker):
        """Every call that reaches the method of the driver."""
        path = self.file(b"12")
        read = {"offset": 0, "length": 2, "size": 10, "ranged": True, "window": 100}
        return [
            ("exists", "stat", {"key": "a/c"}),
            ("get_size", "stat", {"key": "a/b"}),
            ("list_directory", "list", {"key": "a"}),
            ("get_content", "get", {"key": "a/b", "most": 100}),
            ("stream_read", "read", dict(read, key="a/b")),
            ("put_content", "put", {"key": "a/b", "verify": "size"}),
            ("stream_write", "write", {"key": "a/b", "file": path, "size": 2, "verify": "size"}),
            ("remove", "remove", {"key": "a/b"}),
        ]

    def test_whatever_is_raised_becomes_an_error(self):
        for name, kind in sorted(self.KINDS.items()):
            for method, call, fields in self.calls(None):
                worker = self.store("raises", calls=[method], **{"raise": name})
                self.turn()
                error = self.refused(kind, worker.call, call, **fields)
                self.assertEqual((error["driver"], error["call"]), ("raises", method))
                os.remove(self.switch)
                self.assertEqual(worker.call("stat", key=ALIVE)["kind"], "object")
                worker.end()

    def raised(self, name, call="get", **fields):
        worker = self.store("raises", calls=["get_content", "put_content"], **{"raise": name})
        self.turn()
        fields = fields or {"key": "a/b", "most": 100}
        with self.assertRaises(Refused) as caught:
            worker.call(call, **fields)
        os.remove(self.switch)
        return caught.exception.error

    def test_what_an_error_tells(self):
        error = self.raised("NoSpace", "put", key="a/b", verify="bytes")
        self.assertEqual(error["type"], "OSError")
        self.assertEqual(error["errno"], 28)
        self.assertEqual(error["line"], "OSError: [Errno 28] No space left on device")
        self.assertEqual(error["message"], "[Errno 28] No space left on device")
        self.assertTrue(error["where"].startswith("raises.py:") and error["where"].endswith(" in before"), error["where"])
        self.assertIn("Traceback", error["traceback"])

    def test_messages_are_printable_and_short(self):
        error = self.raised("TypeError")
        self.assertEqual(len(error["message"]), 500)
        self.assertTrue(error["message"].startswith("a\\x1b[31mb\\x0accc"), error["message"])
        self.assertLessEqual(len(error["traceback"]), 8 * KIB)
        self.assertLessEqual(len(self.raised("RecursionError")["traceback"]), 8 * KIB)
        self.assertIn("can't be printed", self.raised("Custom")["message"])

    def test_file_not_found_is_weighed(self):
        for name in ("FileNotFoundError", "NoSuchFile"):
            error = self.raised(name)
            self.assertEqual(error["kind"], "unavailable")
            self.assertIn("a/b is there, but", error["message"])
            self.assertEqual(self.raised(name, "put", key="a/b", verify="size")["kind"], "unavailable")

    def test_listings_that_end_at_once(self):
        for name in ("StopIteration", "FileNotFoundError"):
            worker = self.store("raises", calls=["list_directory"], **{"raise": name})
            self.turn()
            self.assertTrue(worker.call("list", key="a")["absent"])
            os.remove(self.switch)


class BadDriverCase(Case):
    def test_none_everywhere(self):
        worker = self.worker("nothing")
        path = self.file(b"12")
        read = {"offset": 0, "length": 2, "size": 10, "ranged": False, "window": 100}
        for call, fields in (
            ("stat", {"key": "a"}),
            ("get", {"key": "a", "most": 1}),
            ("read", dict(read, key="a")),
            ("list", {"key": "a"}),
            ("put", {"key": "a", "verify": "bytes"}),
            ("write", {"key": "a", "file": path, "size": 2, "verify": "size"}),
            ("remove", {"key": "a"}),
            ("find_canary", {}),
            ("self_test", {"write": True, "canary": None}),
        ):
            self.refused("bug", worker.call, call, **fields)

    def test_text_for_bytes(self):
        worker = self.store("text")
        self.turn()
        self.refused("bug", worker.call, "get", key="a/b", most=100)
        self.refused("bug", worker.read, "a/b")
        self.refused("bug", worker.call, "put", b"x", key="a/b", verify="bytes")

    def test_untidy_listings(self):
        worker = self.store("untidy")
        for key in ("a/z", "a/d/e/f", "a/d/e/g", "root/x"):
            worker.call("put", b"1", key=key, verify="bytes")
        self.assertEqual(worker.names("a"), [("b", "object", 10), ("d", "folder", None), ("z", "object", 1)])
        self.assertEqual(worker.names("a/d"), [("e", "folder", None)])
        self.assertEqual(worker.names(""), [(name, "folder", None) for name in (".driver", "a", "root")])
        self.assertEqual(worker.call("find_canary")["key"], ALIVE)

    def test_endless_listings(self):
        worker = self.worker()
        worker.start("endless", path=self.root, most_names=5000)
        self.refused("too_many", worker.call, "list", key="a")
        self.assertEqual(worker.call("stat", key="a", unsure_ok=True)["kind"], "folder")

    def test_short_reads(self):
        worker = self.store("short", missing_bytes=3)
        self.turn()
        for ranged in (True, False):
            self.refused("short", worker.read, "a/b", 0, 10, ranged=ranged)
        self.assertEqual(worker.read("a/b", 0, 5), b"01234")
        self.refused("short", worker.call, "get", key="a/b", most=100)
        self.refused("mismatch", worker.call, "put", b"0123456", key="a/b", verify="bytes")
        path = self.file(pattern(1000))
        self.refused("mismatch", worker.call, "write", key="w", file=path, size=1000, verify="bytes")
        worker.call("write", key="w", file=path, size=1000, verify="size")

    def test_more_than_the_range(self):
        for driver in ("overlong", "ignores_range"):
            worker = self.store(driver)
            self.turn()
            error = self.refused("bug", worker.read, "a/b", 2, 3, ranged=True)
            self.assertIn("gave more than the range", error["message"])
            self.assertEqual(worker.read("a/b", 2, 3, ranged=False), b"234")
            self.assertEqual(worker.call("self_test", write=True, canary=None)["range"], False)
            self.assertEqual(worker.call("self_test", write=False, canary="a/b")["range"], False)
            os.remove(self.switch)

    def test_swallowed_write_errors(self):
        worker = self.store("swallows", room=1000)
        self.turn()
        path = self.file(pattern(5000))
        self.refused("mismatch", worker.call, "put", pattern(5000), key="p", verify="bytes")
        for verify in ("bytes", "size"):
            error = self.refused("mismatch", worker.call, "write", key="w", file=path, size=5000, verify=verify)
            self.assertIn("5000 bytes and has 1000", error["message"])

    def test_altered_bytes(self):
        worker = self.store("alters", at=2 * MIB)
        self.turn()
        path = self.file(pattern(3 * MIB))
        for ranged in (True, False):
            error = self.refused(
                "mismatch", worker.call, "write", key="w", file=path, size=3 * MIB, verify="bytes", ranged=ranged
            )
            self.assertIn("differs", error["message"])
        worker.call("write", key="w", file=path, size=3 * MIB, verify="size")
        self.refused("mismatch", worker.call, "put", pattern(3 * MIB), key="p", verify="bytes")

    def test_lost_objects(self):
        worker = self.store("loses")
        self.turn()
        path = self.file(pattern(1000))
        error = self.refused("mismatch", worker.call, "write", key="w", file=path, size=1000, verify="size")
        self.assertIn("not there after it was written", error["message"])
        self.refused("mismatch", worker.call, "put", b"x", key="p", verify="bytes")
        worker.call("canary", key="gone")
        self.refused("unavailable", worker.call, "write", key="w", file=path, size=1000, verify="size")

    def test_a_backend_that_is_down(self):
        worker = self.store("down")
        self.turn()
        path = self.file(b"12")
        read = {"offset": 0, "length": 2, "size": 10, "ranged": True, "window": 100}
        for call, fields in (
            ("stat", {"key": "a/b"}),
            ("get", {"key": "a/b", "most": 1}),
            ("read", dict(read, key="a/b")),
            ("list", {"key": "a"}),
            ("list", {"key": "a", "unsure_ok": True}),
            ("put", {"key": "a/b", "verify": "bytes"}),
            ("write", {"key": "a/b", "file": path, "size": 2, "verify": "size"}),
            ("remove", {"key": "a/b"}),
            ("self_test", {"write": True, "canary": None}),
        ):
            self.refused("unavailable", worker.call, call, **fields)
        os.remove(self.switch)
        self.assertEqual(worker.call("stat", key="a/b")["kind"], "object")

    def test_a_backend_that_goes_down_while_it_is_asked(self):
        for calls in (["exists"], ["get_content"], ["remove"], ["stream_read"], ["get_size"], ["list_directory"]):
            worker = self.store("down", calls=calls)
            self.turn()
            for call, fields in (
                ("get", {"key": "a/b", "most": 100}),
                ("read", {"key": "a/b", "offset": 0, "length": 2, "size": 10, "ranged": True, "window": 100}),
                ("remove", {"key": "a/b"}),
            ):
                try:
                    answer = worker.call(call, **fields)
                    self.assertNotIn(answer.get("kind"), ("absent", "folder"), (calls, call))
                    self.assertIsNot(answer.get("removed"), False, (calls, call))
                except Refused as refused:
                    self.assertIn(refused.error["kind"], ("unavailable",), (calls, call))
                if call == "remove" and not os.path.exists(self.at("a/b")):
                    break
            os.remove(self.switch)

    def test_remove_by_prefix(self):
        worker = self.store("by_prefix")
        self.assertEqual(worker.call("self_test", write=True, canary=None)["removes_by_prefix"], False)
        self.turn()
        self.assertEqual(worker.call("self_test", write=True, canary=None)["removes_by_prefix"], True)
        worker.call("put", b"", key="a/bc", verify="bytes")
        error = self.refused("unsafe", worker.call, "remove", key="a/b", by_prefix=True)
        self.assertIn("a/bc", error["message"])
        self.assertTrue(worker.call("remove", key="a/bc", by_prefix=True)["removed"])
        self.assertEqual(worker.call("stat", key="a/b")["kind"], "object")

    def test_a_remove_that_does_nothing(self):
        worker = self.store("removes_nothing")
        self.turn()
        self.assertIn("still there", self.refused("bug", worker.call, "remove", key="a/b")["message"])

    def test_sizes_as_text(self):
        worker = self.store("size_text")
        self.turn()
        self.assertEqual(worker.call("stat", key="a/b")["size"], 10)
        self.assertEqual(worker.read("a/b"), b"0123456789")
        worker.call("write", key="w", file=self.file(b"12"), size=2, verify="bytes")
        for size in ("ten", "-1", "1.5"):
            worker = self.worker("size_text", size=size)
            self.assertIn(size, self.refused("bug", worker.call, "stat", key="a/b")["message"])

    def test_a_marker_for_nothing(self):
        worker = self.store("empty_marker")
        answer = worker.call("self_test", write=True, canary=None)
        self.assertEqual((answer["empty"], answer["list"]), (False, True))
        self.assertIn("an empty object is not kept", answer["notes"][0])
        self.refused("mismatch", worker.call, "put", b"", key="p", verify="bytes")
        self.refused("mismatch", worker.call, "write", key="w", file=self.file(b""), size=0, verify="size")

    def test_progress_while_it_is_slow(self):
        worker = self.store("slow", delay=0.3, calls=["stream_write", "stream_read"])
        self.turn()
        size = 6 * MIB
        worker.send("write", key="w", file=self.file(pattern(size)), size=size, verify="bytes")
        told, last = [], time.time()
        while True:
            header, _ = worker.receive()
            self.assertLess(time.time() - last, 1.5)
            last = time.time()
            if "progress" not in header:
                break
            told.append(header["progress"])
        self.assertEqual(header, {"size": size, "end": True})
        self.assertGreaterEqual(len(told), 3)
        self.assertEqual(told, sorted(told))
        self.assertLessEqual(told[-1], 2 * size)


def main():
    places = [DRIVERS] if DRIVERS else sys.path
    if not any(os.path.isdir(os.path.join(place or ".", "docker_registry", "core")) for place in places):
        sys.exit("docker-registry-core is not in %s: set WORKER_DRIVERS to a directory that has it" % (DRIVERS or sys.executable))
    unittest.main()


if __name__ == "__main__":
    main()
