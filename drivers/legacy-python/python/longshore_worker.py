# SPDX-License-Identifier: Apache-2.0
"""Serves one storage driver of docker-registry 0.x, unmodified, to the Rust process that started this one.

One file, nothing but the standard library, Python 2.7 and 3.8 to 3.13: it has to run in whatever virtualenv the driver
has been living in since 2014. The Rust process hands the source over on descriptor 0 (`python -c BOOTSTRAP`) and then
speaks frames over the same socket, one request at a time:

    >II      length of the header, length of the body
    header   one JSON object, ASCII
    body     raw bytes

The last frame of an answer has "end": true or "error": {...}. What a driver does wrong ends as an error, never as the end
of the worker, and nothing is called absent unless something else that must be there is seen to be there.

From top to bottom: frames, watchdog, errors, configuration, import hook, loading, the guarded driver, views (how to stat
and list, with shortcuts for the drivers that are known), transfers, calls, main.
"""

from __future__ import absolute_import, division, print_function

import errno
import fcntl
import functools
import hashlib
import heapq
import io
import itertools
import json
import logging
import os
import pkgutil
import re
import select
import signal
import socket
import stat
import struct
import sys
import time
import traceback
import types
import warnings

PY2 = sys.version_info[0] == 2
if PY2:
    import imp
    import thread as _thread
else:
    import _thread
    import ast
    import copy
    import importlib.machinery
    import importlib.util

KIB = 1024
MIB = 1024 * KIB
LEAST_FRAME = 256 * KIB  # read answers are gathered to frames of at least this,
MOST_FRAME = MIB  # and at most this
NAMES_IN_FRAME = 1000
MOST_MESSAGE = 500
MOST_TRACEBACK = 8 * KIB
MOST_DESCRIPTORS = 200  # of a driver that leaks them; a process has 1024 as a rule
MOST_MEMORY = 256 * MIB
BOTH = "object and folder"
MOST_NAMES = 1000000  # in one folder, unless the start says otherwise
COMPONENT = re.compile(r"[A-Za-z0-9._+=,@~-]{1,255}\Z")  # of a key, between slashes
VERIFY_RANGE = 64 * MIB  # a ranged read back goes in steps of this
ALIVE = ".driver/alive"

# A driver may let gevent replace these in their modules; the worker goes on with the real ones.
_sleep, _getppid, _getpid, _poll = time.sleep, os.getppid, os.getpid, select.poll
_clock = getattr(time, "monotonic", time.time)
_start_thread, _new_lock = _thread.start_new_thread, _thread.allocate_lock


# ---------------------------------------------------------------------------------------------------------------- frames


def leave():
    """Ends at once: no handler or thread that the driver left behind may keep the process, and no fork of it live on."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    if os.getpgrp() == _getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


class Channel(object):
    """The socket to the Rust process. When that is gone the worker ends: an exception could be swallowed by a driver."""

    def __init__(self, sock):
        self._sock = sock
        self._pid = _getpid()
        self._ready = _poll()
        self._ready.register(sock.fileno(), select.POLLIN | select.POLLHUP)
        self._lock = _new_lock()

    def is_mine(self):
        """False in a fork that the driver made: only one process may speak here."""
        return _getpid() == self._pid

    def receive(self):
        if not self.is_mine():
            leave()
        head, length = struct.unpack(">II", self._exactly(8))
        header = json.loads(self._exactly(head).decode("ascii"))
        return header, self._exactly(length)

    def _exactly(self, count):
        buf = bytearray(count)
        view = memoryview(buf)
        while len(view):
            try:
                got = self._sock.recv_into(view)
            except (OSError, IOError) as error:
                if error.errno == errno.EINTR:
                    continue
                got = 0
            if not got:
                leave()
            view = view[got:]
        return bytes(buf)

    def has_news(self):
        return bool(self._ready.poll(0))

    def send(self, header, parts=()):
        if not self.is_mine():
            leave()
        text = json.dumps(header, separators=(",", ":")).encode("ascii")
        parts = [struct.pack(">II", len(text), sum(len(part) for part in parts)) + text] + list(parts)
        with self._lock:
            try:
                self._send_all(parts)
            except (OSError, IOError):
                leave()

    if PY2:

        def _send_all(self, parts):
            for part in parts:
                self._sock.sendall(part)

    else:

        def _send_all(self, parts):
            sent = self._sock.sendmsg(parts)
            for part in parts:
                if sent < len(part):
                    self._sock.sendall(memoryview(part)[sent:])
                sent = max(0, sent - len(part))


# -------------------------------------------------------------------------------------------------------------- watchdog


def watch_parent():
    """Ends the process group when the Rust process is gone, whatever the driver hangs in."""
    parent = _getppid()
    worker, kill, killpg, getpgrp = _getpid(), os.kill, os.killpg, os.getpgrp

    def watch():
        while _getppid() == parent:
            _sleep(1)
        if getpgrp() == worker:
            killpg(worker, signal.SIGKILL)
        kill(worker, signal.SIGKILL)

    _start_thread(watch, ())


# ---------------------------------------------------------------------------------------------------------------- errors

# Classes of HTTP clients and SDKs that stand for a backend that could not be reached or would not answer. By name: the
# worker can't import what is not there.
CLIENT_ERRORS = frozenset(
    "HTTPException HTTPError RequestException ClientException Timeout TimeoutError"
    " BotoServerError BotoClientError WindowsAzureError".split()
)


class Failure(Exception):
    """What becomes an error frame."""

    def __init__(self, kind, message, call=None, **details):
        super(Failure, self).__init__(message)
        self.kind = kind
        self.message = message
        self.call = call
        self.details = details
        self.settled = False  # whether another object was seen to be there, so that "absent" may be told

    @classmethod
    def of(cls, call, exc_type, value, trace):
        """What a driver raised, as it is to be told. Old-style classes of Python 2 come here too."""
        message = text_of(value) or exc_type.__name__
        number = getattr(value, "errno", None)
        details = {
            "type": exc_type.__name__,
            "line": last_line(exc_type, value),
            "where": innermost(trace),
            "errno": number if isinstance(number, int) else None,
            "traceback": whole_traceback(exc_type, value, trace),
        }
        return cls(kind_of(call, exc_type, value), message, call, **details)

    def header(self, driver, call):
        error = {"kind": self.kind, "driver": driver, "call": self.call or call}
        error.update(type=None, line=None, where=None, errno=None, traceback=None)
        error.update(self.details)
        error["message"] = self.message
        for field in ("type", "message", "line", "where"):
            if error[field] is not None:
                error[field] = printable(error[field])[:MOST_MESSAGE]
        return {"error": error}


class Guard(object):
    """Turns whatever leaves a call of the driver into a Failure, SystemExit and KeyboardInterrupt too."""

    def __init__(self, call):
        self._call = call

    def __enter__(self):
        return self

    def __exit__(self, exc_type, value, trace):
        if exc_type is not None and not isinstance(value, Failure):
            raise Failure.of(self._call, exc_type, value, trace)


def kind_of(call, exc_type, value):
    core = sys.modules.get("docker_registry.core.exceptions")
    for name, kind in (
        ("FileNotFoundError", "absent"),
        ("ConnectionError", "unavailable"),
        ("ConfigError", "configuration"),
        ("WrongArgumentsError", "configuration"),
        ("NotImplementedError", "unsupported"),
    ):
        if isinstance(value, getattr(core, name, ())):
            return kind
    # Inside a generator Python 3.7 makes a RuntimeError of a StopIteration.
    if call == "list_directory" and StopIteration in (exc_type, type(getattr(value, "__cause__", None))):
        return "absent"
    bases = [base.__name__ for base in getattr(exc_type, "__mro__", ())]
    if "WindowsAzureMissingResourceError" in bases:
        return "absent"
    if isinstance(value, EnvironmentError):
        missing = value.errno == errno.ENOENT or exc_type.__name__ == "FileNotFoundError"
        return "absent" if missing else "unavailable"
    if CLIENT_ERRORS.intersection(bases):
        return "unavailable"
    return "bug"


def text_of(value):
    """str(value), of a value that may have no working __str__."""
    for to_text in (str, repr):
        try:
            return to_text(value)
        except BaseException:
            continue
    return "an exception that can't be printed"


def last_line(exc_type, value):
    try:
        return traceback.format_exception_only(exc_type, value)[-1].strip()
    except BaseException:
        return "%s: %s" % (exc_type.__name__, text_of(value))


def innermost(trace):
    """The innermost frame inside the driver, as "file.py:101 in put_content"."""
    found = None
    while trace is not None:
        code = trace.tb_frame.f_code
        # By name, and by path: Python 2 clears the globals of a module that could not be imported.
        module = str(trace.tb_frame.f_globals.get("__name__"))
        if module.startswith("docker_registry.") or "/docker_registry/" in code.co_filename:
            found = "%s:%d in %s" % (os.path.basename(code.co_filename), trace.tb_lineno, code.co_name)
        trace = trace.tb_next
    return found


def whole_traceback(exc_type, value, trace):
    """The end of it, where it is too long: what was raised stands there."""
    try:
        text = "".join(traceback.format_exception(exc_type, value, trace))
    except BaseException:
        text = last_line(exc_type, value)
    return printable(text, keep="\n")[-MOST_TRACEBACK:]


def printable(text, keep=""):
    """Text without control characters, and without what no JSON reader but Python's takes."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return re.sub(u"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", lambda m: _escaped(m.group(), keep), text)


def _escaped(character, keep):
    code = ord(character)
    return character if character in keep else u"\\x%02x" % code if code < 256 else u"\\u%04x" % code


# --------------------------------------------------------------------------------------------------------- configuration


def native(value):
    """Text of JSON as the `str` of this Python: drivers of 2014 choke on unicode."""
    if not PY2:
        return value
    if isinstance(value, unicode):  # noqa: F821
        return value.encode("utf-8")
    return value


def native_setting(value):
    """Settings likewise, in lists and dicts, too; but what is not ASCII was unicode when it came from YAML."""
    if isinstance(value, list):
        return [native_setting(item) for item in value]
    if isinstance(value, dict):
        return dict((native_setting(name), native_setting(item)) for name, item in value.items())
    try:
        return value.encode("ascii") if PY2 and isinstance(value, unicode) else value  # noqa: F821
    except UnicodeEncodeError:
        return value


class Config(object):
    """What docker-registry gives its drivers: settings as attributes and as items, None where there is none."""

    def __init__(self, settings):
        self._settings = settings

    def __getattr__(self, name):
        if name.startswith("__"):  # copy and pickle ask for what must not seem to be there
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name):
        return self.get(name)

    def get(self, name, default=None):
        value = self._settings.get(name, default)
        return Config(value) if isinstance(value, dict) else value

    def keys(self):
        return self._settings.keys()

    def __contains__(self, name):
        return name in self._settings

    def __iter__(self):
        return iter(self._settings)

    def __len__(self):
        return len(self._settings)

    def __repr__(self):  # settings are secrets, and drivers log
        return "<Config of %s>" % ", ".join(sorted(map(str, self._settings)))


# ----------------------------------------------------------------------------------------------------------- import hook
#
# Drivers, and SDKs that are named, are Python 2. Under Python 3 each of their modules is read by Loader, which
#   1. expands tabs, which were 8 columns wide;
#   2. lets 2to3 rewrite it, where it does not parse or has an idiom that Rewriter does not know;
#   3. lets Rewriter change division, dict methods and imports in the syntax tree;
#   4. adds the builtins that are gone to the globals of the module.
# Most modules need only 3 and 4, so that 2to3, which is slow to load and gone since Python 3.13, is seldom asked.

CACHE_VERSION = "1"
PY2_PACKAGE = "longshore_python2"  # holds stand-ins for modules of Python 2 under a name that nobody tests for
PY2_MODULES = {
    "ConfigParser": ["configparser"],
    "Cookie": ["http.cookies"],
    "HTMLParser": ["html.parser"],
    "Queue": ["queue"],
    "cPickle": ["pickle"],
    "commands": ["subprocess"],
    "cookielib": ["http.cookiejar"],
    "httplib": ["http.client"],
    "thread": ["_thread"],
    "urllib": ["urllib.parse", "urllib.request", "urllib.error", "urllib"],
    "urllib2": ["urllib.request", "urllib.error", "urllib.parse"],
    "urlparse": ["urllib.parse"],
    "StringIO": [],
    "cStringIO": [],
    "md5": [],
    "sha": [],
}
PY2_IDIOMS = re.compile(
    r"""\.next\(\) | \b__(metaclass|nonzero|getslice)__\b | \bsys\.(maxint|exc_\w+) | \bcmp= | \.func_\w+ | \bos\.getcwdu\b
    | \bstring\.(letters|lowercase|uppercase|maketrans|join|split|replace) | \bitertools\.i(map|zip|filter)\b
    | \.(keys|values|items)\(\)\s*(\[|\.sort\b|\+) | \b(map|filter|zip)\([^()]*\)\s*(\[|\.|\+) | \breload\( | \bexecfile\(""",
    re.VERBOSE,
)
OWN_FIXERS = ("import", "imports", "imports2", "urllib")  # Rewriter does these, by other means


class Translation(object):
    """What the import hook of this process is to do and has done."""

    def __init__(self):
        self.packages = {"docker_registry"}
        self.cache = None
        self.changed = []
        self._tool = None

    def use_cache(self, folder):
        """Nothing but time depends on it."""
        try:
            if folder and not os.path.isdir(folder):
                os.makedirs(folder)
            self.cache = folder
        except EnvironmentError as error:
            print("translated modules are not kept: %s" % error, file=sys.stderr)

    def covers(self, name):
        return name.split(".")[0] in self.packages

    def tree(self, source, path, module):
        """The syntax tree of a module of Python 2, as Python 3 is to run it."""
        expanded = expand_tabs(source)
        rewritten = expanded
        if PY2_IDIOMS.search(expanded) or not parses(expanded, path):
            rewritten = self._by_2to3(expanded, path)
        tree = ast.parse(rewritten, path)
        rewriter = Rewriter(module, os.path.dirname(path), rewritten)
        tree = ast.fix_missing_locations(rewriter.visit(tree))
        if rewritten != source or rewriter.changes:
            self.changed.append(module)
        return tree

    def _by_2to3(self, source, path):
        cached = self._cached(source)
        text = cached and read_if_there(cached)
        if not text:
            text = str(self._refactoring().refactor_string(source + "\n", path))
            if cached:
                write_whole(cached, text)
        return text

    def _cached(self, source):
        if not self.cache:
            return None
        name = hashlib.sha256((CACHE_VERSION + "\n" + source).encode("utf-8")).hexdigest()
        return os.path.join(self.cache, name + ".py")

    def _refactoring(self):
        if self._tool is None:
            refactor, fixes = import_2to3()
            names = refactor.get_fixers_from_package(fixes)
            self._tool = refactor.RefactoringTool([n for n in names if n.split(".fix_")[-1] not in OWN_FIXERS])
        return self._tool


def import_2to3():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from lib2to3 import refactor
        except ImportError:
            try:
                from fissix import refactor
            except ImportError:
                message = "the driver, or its SDK, has to be translated from Python 2: install fissix into the virtualenv"
                raise Failure("configuration", message, "import")
    logging.getLogger("RefactoringTool").setLevel(logging.WARNING)
    return refactor, refactor.__name__.split(".")[0] + ".fixes"


def expand_tabs(source):
    lines = source.split("\n")
    for number, line in enumerate(lines):
        indent = line[: len(line) - len(line.lstrip())]
        if "\t" in indent:
            lines[number] = indent.expandtabs(8) + line[len(indent) :]
    return "\n".join(lines)


def parses(source, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(source, path)
            return True
        except SyntaxError:
            return False


def read_if_there(path):
    try:
        with io.open(path, encoding="utf-8") as file:
            return file.read()
    except EnvironmentError:
        return None


def write_whole(path, text):
    """Other workers may be starting beside this one: they see all of a file or none of it."""
    partial = "%s.%d" % (path, _getpid())
    try:
        with io.open(partial, "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(partial, path)
    except EnvironmentError as error:
        print("a translated module is not kept: %s" % error, file=sys.stderr)


if not PY2:

    class Rewriter(ast.NodeTransformer):
        """What can be said of Python 2 in the syntax tree of Python 3."""

        DICT_METHODS = {"iteritems": "items", "iterkeys": "keys", "itervalues": "values"}

        def __init__(self, module, folder, source):
            self.changes = 0
            self._package = module.rpartition(".")[0]
            self._folder = folder
            self._old_division = not re.search(r"^from __future__ import .*\bdivision\b", source, re.M)
            self._relative_first = not re.search(r"^from __future__ import .*\babsolute_import\b", source, re.M)

        def _changed(self, node, *now):
            self.changes += 1
            for one in now:
                ast.copy_location(one, node)
            return list(now) if len(now) > 1 else now[0]

        def _divided(self, left, right):
            return ast.Call(ast.Name("__divide__", ast.Load()), [left, right], [])

        def visit_BinOp(self, node):
            self.generic_visit(node)
            if not (self._old_division and isinstance(node.op, ast.Div)):
                return node
            return self._changed(node, self._divided(node.left, node.right))

        def visit_AugAssign(self, node):
            self.generic_visit(node)
            if not (self._old_division and isinstance(node.op, ast.Div)):
                return node
            left = copy.deepcopy(node.target)
            left.ctx = ast.Load()
            return self._changed(node, ast.Assign([node.target], self._divided(left, node.value)))

        def visit_Call(self, node):
            self.generic_visit(node)
            method = getattr(node.func, "attr", None)
            if method in self.DICT_METHODS and not node.args:
                node.func.attr = self.DICT_METHODS[method]
                self.changes += 1
            elif method == "has_key" and len(node.args) == 1:
                return self._changed(node, ast.Compare(node.args[0], [ast.In()], [node.func.value]))
            return node

        def visit_Import(self, node):
            now = [self._imported(alias) for alias in node.names]
            if not any(now):
                return node
            return self._changed(node, *[one or ast.Import([alias]) for one, alias in zip(now, node.names)])

        def _imported(self, alias):
            """The statement that does in Python 3 what this part of an import did, where that is another."""
            bound = alias.asname or alias.name
            if alias.name in PY2_MODULES:
                return ast.ImportFrom(PY2_PACKAGE, [ast.alias(alias.name, bound)], 0)
            if self._is_beside(alias.name) and "." not in alias.name:
                return ast.ImportFrom(None, [ast.alias(alias.name, bound)], 1)
            return None

        def visit_ImportFrom(self, node):
            if node.level == 0 and node.module in PY2_MODULES:
                return self._changed(node, ast.ImportFrom(PY2_PACKAGE + "." + node.module, node.names, 0))
            if node.level == 0 and self._is_beside(node.module):
                return self._changed(node, ast.ImportFrom(node.module, node.names, 1))
            return node

        def _is_beside(self, name):
            """Python 2 looked beside the module first."""
            path = os.path.join(self._folder, name.split(".")[0])
            here = os.path.isfile(path + ".py") or os.path.isfile(os.path.join(path, "__init__.py"))
            return bool(self._relative_first and self._package and here)

    class Loader(importlib.machinery.SourceFileLoader):
        def path_stats(self, path):
            raise OSError("no bytecode: it would be found by who does not translate")

        def source_to_code(self, data, path, _optimize=-1):
            source = importlib.util.decode_source(data)
            return compile(TRANSLATION.tree(source, path, self.name), path, "exec", dont_inherit=True, optimize=_optimize)

        def exec_module(self, module):
            for name, value in PY2_BUILTINS.items():
                module.__dict__.setdefault(name, value)
            super(Loader, self).exec_module(module)

    class Finder(object):
        """Comes first on sys.meta_path."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            if name.split(".")[0] == PY2_PACKAGE:
                return importlib.machinery.ModuleSpec(name, Python2Modules, is_package=name == PY2_PACKAGE)
            if not TRANSLATION.covers(name):
                return None
            spec = importlib.machinery.PathFinder.find_spec(name, path, target)
            if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
                spec.loader = Loader(name, spec.origin)
            return spec

    class OldFinders(object):
        """Comes last. Python 3.12 no longer asks finders that have find_module alone: an old `six` in an SDK is one."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            for finder in sys.meta_path:
                if not hasattr(finder, "find_spec") and hasattr(finder, "find_module"):
                    loader = finder.find_module(name, path)
                    if loader is not None:
                        return importlib.util.spec_from_loader(name, loader)
            return None

    class Python2Modules(object):
        """Makes PY2_PACKAGE and the modules in it."""

        @staticmethod
        def create_module(spec):
            return None

        @staticmethod
        def exec_module(module):
            name = module.__name__.rpartition(".")[2]
            module.__getattr__ = functools.partial(Python2Modules.find, name)
            if name in ("StringIO", "cStringIO"):
                module.StringIO = io.BytesIO  # what drivers keep in one is content
            if name in ("md5", "sha"):
                module.new = getattr(hashlib, {"md5": "md5", "sha": "sha1"}[name])
                setattr(module, name, module.new)

        @staticmethod
        def find(module, name):
            """An attribute, from whichever module has it now. Only then is that loaded: some take their time."""
            for source in PY2_MODULES.get(module, ()):
                source = importlib.import_module(source)
                if hasattr(source, name):
                    return getattr(source, name)
            raise AttributeError("module %s has no attribute %s" % (module, name))

    class _File(type):
        """The type of `file`, which could be called and asked for."""

        def __call__(cls, *arguments, **keywords):
            return open(*arguments, **keywords)

        def __instancecheck__(cls, instance):
            return isinstance(instance, io.IOBase)

    def divide(left, right):
        if isinstance(left, int) and isinstance(right, int):
            return left // right
        return left / right

    PY2_BUILTINS = {
        "__divide__": divide,
        "StandardError": Exception,
        "basestring": (str, bytes),
        "buffer": memoryview,
        "cmp": lambda left, right: (left > right) - (left < right),
        "file": _File("file", (object,), {}),
        "intern": sys.intern,
        "long": int,
        "reduce": functools.reduce,
        "unichr": chr,
        "unicode": str,
        "xrange": range,
    }


TRANSLATION = Translation()


def install_hook(packages, cache):
    TRANSLATION.packages.update(packages)
    TRANSLATION.use_cache(cache)
    if PY2 or Finder in sys.meta_path:
        return
    sys.meta_path.insert(0, Finder)
    sys.meta_path.append(OldFinders)
    for name, value in (
        ("StringTypes", (str, bytes)),
        ("StringType", str),
        ("UnicodeType", str),
        ("ListType", list),
        ("TupleType", tuple),
        ("DictType", dict),
        ("IntType", int),
        ("LongType", int),
        ("NoneType", type(None)),
    ):
        if not hasattr(types, name):
            setattr(types, name, value)


# --------------------------------------------------------------------------------------------------------------- loading


def can_import(name):
    try:
        if PY2:
            imp.find_module(name)
            return True
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def stand_in(name, **contents):
    module = types.ModuleType(name)
    vars(module).update(contents)
    sys.modules[name] = module
    return module


def install_stand_ins():
    """For modules that drivers import and the worker has no use for, or that Python has no longer."""
    if not can_import("redis"):  # the cache of docker_registry.core.lru, which is never switched on here
        errors = stand_in("redis.exceptions", ConnectionError=type("ConnectionError", (Exception,), {}))
        stand_in("redis", exceptions=errors)
    if not can_import("gevent"):
        monkey = stand_in("gevent.monkey", patch_all=lambda *_, **__: None)
        stand_in("gevent", monkey=monkey, spawn=spawn, sleep=_sleep)
    if not PY2 and not can_import("imp"):
        stand_in("imp", find_module=find_module, load_module=load_module)


def spawn(function, *arguments, **keywords):
    return _start_thread(function, arguments, keywords)


def find_module(name, path=None):
    spec = importlib.machinery.PathFinder.find_spec(name, path)
    if spec is None:
        raise ImportError("No module named " + name)
    return None, spec.origin, spec


def load_module(name, _file, _path, spec):
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def join_namespace():
    """Makes docker_registry and docker_registry.drivers of all directories of that name on sys.path.

    Each distribution brings both packages, with an __init__ that only asks pkg_resources to join them. pkg_resources
    takes longer to load than all else here, the one of 2014 does not load at all since Python 3.10, and a .pth of
    setuptools may have made the packages before module_path was known.
    """
    for name in ("docker_registry", "docker_registry.drivers"):
        module = sys.modules.get(name) or stand_in(name)
        folders = [os.path.join(entry, *name.split(".")) for entry in sys.path]
        # An entry that is a file is an egg; whether it has the package is seen at import.
        found = [path for path, entry in zip(folders, sys.path) if os.path.isdir(path) or os.path.isfile(entry)]
        module.__path__ = found + [path for path in getattr(module, "__path__", ()) if path not in found]
    sys.modules["docker_registry"].drivers = module


def available():
    return sorted(name for _, name, _ in pkgutil.iter_modules(sys.modules["docker_registry.drivers"].__path__))


def load_class(name):
    """As docker_registry.core.driver.fetch does it."""
    module_name = "docker_registry.drivers." + name
    try:
        with Guard("import"):
            __import__(module_name)
            __import__("docker_registry.core.exceptions")
    except Failure as failure:
        raise unloadable(name, failure)
    storage = getattr(sys.modules[module_name], "Storage", None)
    if storage is None:
        where = getattr(sys.modules[module_name], "__file__", module_name)
        raise Failure("configuration", "the driver %s has no class Storage: %s" % (name, where), "import")
    storage.scheme = name
    return storage


def unloadable(name, failure):
    """Why a driver can't be imported, in words that say what to do."""
    if "line" not in failure.details:  # found by the import hook
        return failure
    there = available()
    if not there:
        message = "docker-registry-core is not installed for %s (%s)" % (sys.executable, failure.details["line"])
    elif name not in there:
        message = "there is no driver %s; there are %s" % (name, ", ".join(there))
    else:
        message = "the driver %s can't be imported: %s" % (name, failure.details["line"])
        if not PY2 and failure.details["type"] in ("SyntaxError", "TabError"):
            message += "; if that is in an SDK of Python 2, name its package in translate"
    return as_configuration(failure, message)


def as_configuration(failure, message):
    failure.details["cause"] = failure.kind  # what it would have been in a call: `unavailable` may pass by itself
    failure.kind, failure.message = "configuration", message
    return failure


def distribution_version(storage):
    """Of the distribution that has the module, by the list of files beside it: pkg_resources would take longer."""
    path = getattr(sys.modules[storage.__module__], "__file__", "")
    site = os.path.dirname(os.path.dirname(os.path.dirname(path)))
    wanted = os.path.splitext(os.path.relpath(path, site))[0] + ".py"
    try:
        folders = [n for n in os.listdir(site) if n.startswith("docker_registry") and n.endswith("-info")]
        for folder in folders:
            for listing in ("RECORD", "SOURCES.txt"):
                listing = os.path.join(site, folder, listing)
                if os.path.exists(listing) and wanted in io.open(listing, encoding="utf-8").read():
                    return folder.split("-")[1].replace(".dist", "").replace(".egg", "")
    except EnvironmentError:
        pass
    return None


def hold_lock(path):
    """For the life of the process, and of its forks: a fork of the driver could still write."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if not PY2:
        os.set_inheritable(descriptor, True)
    fcntl.flock(descriptor, fcntl.LOCK_SH)


# ---------------------------------------------------------------------------------------------------- the guarded driver


class Driver(object):
    """The driver's own methods. Only Failures come out."""

    def __init__(self, storage, most_names):
        self.storage = storage
        self.most_names = most_names

    def call(self, name, *arguments):
        with Guard(name):
            return getattr(self.storage, name)(*arguments)

    def each(self, name, *arguments, **keywords):
        """Goes through what a method gives, be it a list or a generator."""
        return self.through(name, lambda: getattr(self.storage, name)(*arguments, **keywords))

    def through(self, name, make):
        with Guard(name):
            iterable = make()
            if iterable is None:
                raise Failure("bug", "%s returned None" % name, name)
            iterator = iter(iterable)
        try:
            while True:
                with Guard(name):
                    try:
                        item = next(iterator)
                    except StopIteration:
                        return
                yield item
        finally:
            self._close(iterator)

    @staticmethod
    def _close(iterator):
        """All that was wanted has come: an error now changes nothing."""
        try:
            getattr(iterator, "close", int)()
        except BaseException:
            traceback.print_exc()

    def exists(self, key):
        """A driver that raises FileNotFoundError here has answered too."""
        try:
            return bool(self.call("exists", key))
        except Failure as failure:
            if failure.kind != "absent":
                raise
            return False

    def size(self, key):
        """Drivers give an int, a long, or the text of a header."""
        value = self.call("get_size", key)
        try:
            size = int(value)
        except (TypeError, ValueError, OverflowError):
            size = -1
        if size < 0:
            raise Failure("bug", "get_size returned %s" % printable(repr(value)), "get_size")
        return size

    def content(self, key):
        value = self.call("get_content", key)
        if not isinstance(value, bytes):
            raise Failure("bug", "get_content returned %s, not bytes" % type(value).__name__, "get_content")
        return value

    def listed(self, folder):
        """What list_directory gives, as text without a leading slash; nothing where there is no such folder."""
        arguments = (folder,) if folder else ()
        count = 0
        try:
            for path in self.each("list_directory", *arguments):
                count += 1
                if count > self.most_names:
                    raise too_many(folder, self.most_names)
                yield as_text(path).lstrip("/")
        except Failure as failure:
            if failure.kind != "absent":
                raise
            if count:
                failure.kind = "unavailable"
                failure.message = "the listing of %s broke off after %d names: %s" % (folder, count, failure.message)
                raise


def too_many(folder, most):
    return Failure("too_many", "%s has more than %d names" % (folder or "the root", most), "list_directory")


def as_text(name):
    """A name that a driver gave, as the `str` of this Python. It may be no UTF-8, and then is not asked for by anybody."""
    if isinstance(name, str):
        return name
    if isinstance(name, type(u"")):
        return name.encode("utf-8")
    if isinstance(name, bytes):
        return name.decode("utf-8", "surrogateescape")
    raise Failure("bug", "list_directory gave %s for a name" % type(name).__name__, "list_directory")


def join(folder, name):
    return folder + "/" + name if folder else name


# ----------------------------------------------------------------------------------------------------------------- views
#
# A view tells of a key whether it is an object or a folder, what a folder has in it, and reads. DriverView does it with
# nothing but the driver's own methods; the others look past drivers that are known, because those methods are slow, blind
# to a backend that is down, or wrong.


class DriverView(object):
    """Knows nothing of the driver but what docker-registry did."""

    certain = False  # whether "absent" comes from the backend itself, so that no other object need be looked at
    shows_empty_folders = True  # unless a test says that it does not
    lists_below = False  # whether there is a `below`

    def __init__(self, driver, path):
        self._driver = driver
        self._storage = driver.storage
        self._root = (path or "").strip("/")
        module = sys.modules.get("docker_registry.drivers.file")
        self._is_made_of_file = module is not None and isinstance(driver.storage, module.Storage)

    def look(self, key):
        """(kind, size) of what is at `key`."""
        if self._is_emptied_directory(key):
            return "absent", None
        for _ in self._below(key, self._driver.listed(key)):
            return "folder", None
        if not self._driver.exists(key):
            return "absent", None
        try:
            return "object", self._driver.size(key)
        except Failure as failure:
            if failure.kind == "absent" and not self._driver.exists(key):  # it has just been removed
                return "absent", None
            raise

    def entries(self, folder):
        """{name: (kind, size)}; kind is None where only `look` could tell. Empty where there is no such folder."""
        paths = self._driver.listed(folder)
        if not folder:
            paths = self._without_root(list(paths))
        found = {}
        for rest in self._below(folder, paths):
            name, deep, _ = rest.partition("/")
            if deep or name not in found:
                found[name] = ("folder", None) if deep else (None, None)
        return found

    def pieces(self, key, first=None, last=None):
        """The content of an object, or bytes `first` to `last` of it."""
        for piece in self._stream(key, first, last):
            if isinstance(piece, bytes):
                yield piece
            elif piece != "":  # some end with an empty '', which is text in Python 3
                raise Failure("bug", "stream_read gave %s, not bytes" % type(piece).__name__, "stream_read")

    def claims_range(self):
        return bool(getattr(self._storage, "supports_bytes_range", False))

    def _stream(self, key, first, last):
        if first is None:
            return self._driver.each("stream_read", key)
        return self._driver.each("stream_read", key, bytes_range=(first, last))

    def _below(self, folder, paths):
        """The part of each path that is below `folder`, whether or not the driver puts its root before it."""
        for path in paths:
            rest = self._rest(folder, path)
            if rest is not None and rest.strip("/"):
                yield rest.lstrip("/")

    def _rest(self, folder, path):
        if not folder:
            return path
        rooted = path[len(self._root) + 1 :] if self._root and path.startswith(self._root + "/") else path
        for candidate in (path, rooted):
            if candidate.startswith(folder + "/"):
                return candidate[len(folder) + 1 :]
        for candidate in (path, rooted):
            # Drivers that list by prefix give siblings as well, and some the folder itself or what it lies in.
            if candidate.startswith(folder) or (folder + "/").startswith(candidate.rstrip("/") + "/"):
                return None
        raise Failure("bug", "list_directory(%r) gave %r, which is not below it" % (folder, path), "list_directory")

    def _without_root(self, paths):
        """The root has no name to recognise it by: if the store seems to hold one folder named like its own root, ask."""
        prefix = self._root + "/"
        if not self._root or not paths or not all(path.startswith(prefix) for path in paths):
            return paths
        for _ in self._below(self._root, self._driver.listed(self._root)):
            return paths
        return [path[len(prefix) :] for path in paths]

    def _is_emptied_directory(self, key):
        """A driver made of `file` leaves directories behind, and says that they exist, with a size of 4096."""
        if not self._is_made_of_file:
            return False
        with Guard("exists"):
            path = self._storage._init_path(key)
            return os.path.isdir(path) and not holds_file(path)

    def make_way(self, key):
        """For drivers made of `file`: makes directories, which fails in the driver where two make one at once, and takes those
        away that have nothing in them and stand where an object is to be."""
        if not self._is_made_of_file:
            return
        with Guard("put_content"):
            path = self._storage._init_path(key)
            if self._is_emptied_directory(key):
                for folder, _, _ in os.walk(path, topdown=False):
                    os.rmdir(folder)
            try:
                os.makedirs(os.path.dirname(path))
            except OSError as error:
                if error.errno != errno.EEXIST:
                    raise


class FileView(DriverView):
    """The driver `file`: the file system tells kinds and sizes."""

    shows_empty_folders = False

    @staticmethod
    def fits(storage):
        """A class made of `file` is looked past only where it left the methods that look alone."""
        methods = ("exists", "get_size", "list_directory", "_init_path")
        return are_of("docker_registry.drivers.file", storage, *methods)

    def look(self, key):
        with Guard("get_size"):
            return self._kind(self._storage._init_path(key))

    def entries(self, folder):
        with Guard("list_directory"):
            path = self._storage._init_path(folder)
            try:
                names = os.listdir(path)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                    raise
                return {}
            if len(names) > self._driver.most_names:
                raise too_many(folder, self._driver.most_names)
            # A folder may have far more names than anybody asks for at once.
            return dict((as_text(name), (None, None)) for name in names)

    def _kind(self, path):
        try:
            found = os.stat(path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise
            return "absent", None
        if stat.S_ISDIR(found.st_mode):
            # The driver leaves directories behind when it removes what was in them.
            return ("folder" if holds_file(path) else "absent"), None
        return ("object", found.st_size) if stat.S_ISREG(found.st_mode) else ("absent", None)


def holds_file(folder):
    """Whether there is a file somewhere below. A link counts as what it leads to, and is not followed: it may lead back."""
    todo = [iter((folder,))]
    while todo:
        path = next(todo[-1], None)
        if path is None:
            todo.pop()
        elif os.path.isfile(path) or path != folder and os.path.islink(path) and os.path.exists(path):
            return True
        elif os.path.isdir(path):
            todo.append(paths_in(path))
    return False


def paths_in(folder):
    try:
        names = os.listdir(folder)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        names = []
    return (os.path.join(folder, name) for name in names)


def are_of(module, storage, *methods):
    """Whether these methods are the ones that a module published, not some that were put in their place."""
    return all(getattr(getattr(storage, name, None), "__module__", None) == module for name in methods)


class PrefixView(DriverView):
    """Object stores, asked through the driver's own connection: what begins with "KEY/", up to the next slash."""

    PAGE = None  # how many names to ask for at once
    shows_empty_folders = False

    def look(self, key):
        path = self._path(key)
        size = self._size(key, path)
        if size is not None:
            return "object", int(size)
        for _ in self._below_prefix(path + "/", 1):
            return "folder", None
        return "absent", None

    def entries(self, folder):
        found = {}
        for name, size in self._below_prefix(self._prefix(folder), self.PAGE):
            bare = name.rstrip("/")
            kind, known = found.get(bare, (None, None))
            if name.endswith("/"):
                found[bare] = (BOTH, known) if kind in ("object", BOTH) else ("folder", None)
            else:
                found[bare] = (BOTH if kind in ("folder", BOTH) else "object", int(size))
            if len(found) > self._driver.most_names:
                raise too_many(folder, self._driver.most_names)
        return found

    def _below_prefix(self, prefix, limit, *where):
        """The prefix itself may be an object that somebody's console made for a folder."""
        for name, size in self._driver.through("list_directory", lambda: self._list(prefix, limit, *where)):
            rest = as_text(name)[len(prefix) :]
            if rest.strip("/"):
                yield rest, size

    def _path(self, key):
        return self._storage._init_path(key).strip("/")

    def _prefix(self, folder):
        path = self._path(folder)
        return path + "/" if path else ""

    def _size(self, key, path):
        """Of the object at `path`; None where there is none."""
        raise NotImplementedError

    def _list(self, prefix, limit):
        """(name, size) of all objects and, with a final slash, folders, in pages of `limit`."""
        raise NotImplementedError


class SwiftView(PrefixView):
    """The driver `swift`: it calls all that fails absent, its listings end after the first 10,000 names, and it ignores ranges."""

    certain = True
    lists_below = True
    PAGE = 10000

    @staticmethod
    def fits(storage):
        return hasattr(storage, "_swift_connection") and hasattr(storage, "_swift_container")

    def _size(self, key, path):
        with Guard("get_size"):
            try:
                return self._storage._swift_connection.head_object(self._storage._swift_container, path)["content-length"]
            except Exception as error:
                if getattr(error, "http_status", None) != 404:
                    raise
        return None  # or a 404 of the container: the listing that follows tells

    def below(self, folder, after, limit):
        """(name, size) of every object below a folder, however deep, whose name there sorts behind `after`."""
        prefix = self._prefix(folder)
        return self._below_prefix(prefix, limit, prefix + after, None)

    def _list(self, prefix, limit, marker="", delimiter="/"):
        while True:
            page = self._page(prefix, marker, limit, delimiter)
            names = [item.get("subdir") or item["name"] for item in page]
            for name, item in zip(names, page):
                yield name, item.get("bytes")
            if not page or names[-1] <= marker:  # a server that would give the same page for ever
                return
            marker = names[-1]

    def claims_range(self):
        return are_of("docker_registry.drivers.swift", self._storage, "stream_read", "get_store", "_init_path")

    def _stream(self, key, first, last):
        if first is None or not self.claims_range():
            return super(SwiftView, self)._stream(key, first, last)
        return self._driver.through("stream_read", lambda: self._fetch(key, first, last))

    def _fetch(self, key, first, last):
        container, headers = self._storage._swift_container, {"Range": "bytes=%d-%d" % (first, last)}
        ask = self._storage._swift_connection.get_object
        try:
            _, pieces = ask(container, self._path(key), resp_chunk_size=MIB, headers=headers)
        except Exception as error:
            if getattr(error, "http_status", None) != 404:
                raise
            raise Failure("absent", "there is no object %s" % key, "stream_read")
        for piece in pieces:
            yield piece

    def _page(self, prefix, marker, limit, delimiter):
        container = self._storage._swift_container
        ask = self._storage._swift_connection.get_container
        try:
            return ask(container, prefix=prefix, delimiter=delimiter, marker=marker, limit=limit)[1]
        except Exception as error:
            if getattr(error, "http_status", None) != 404:
                raise
        raise Failure("unavailable", "there is no container %s" % container, "list_directory")


class BotoView(PrefixView):
    """Drivers made of docker_registry.core.boto.

    Their listings lack letters where storage_path ends with a slash, their ranged reads give the whole object, and of one
    above 1 MiB they fetch five parts at once, into a file that each of these may truncate when others have written.
    """

    @staticmethod
    def fits(storage):
        return hasattr(storage, "_boto_bucket")

    def _size(self, key, path):
        with Guard("get_size"):
            found = self._storage._boto_bucket.lookup(path)
            return None if found is None else found.size

    def _list(self, prefix, limit):
        for item in self._storage._boto_bucket.list(prefix=prefix, delimiter="/"):
            yield item.name, getattr(item, "size", None)

    def _stream(self, key, first, last):
        if not are_of("docker_registry.core.boto", self._storage, "stream_read"):
            return super(BotoView, self)._stream(key, first, last)
        return self._driver.through("stream_read", lambda: self._fetch(key, first, last))

    def _fetch(self, key, first, last):
        item = self._storage._boto_bucket.lookup(self._path(key))
        if item is None:
            raise Failure("absent", "there is no object %s" % key, "stream_read")
        try:
            item.open_read(headers=None if first is None else {"Range": "bytes=%d-%d" % (first, last)})
            piece = item.read(MIB)
            while piece:
                yield piece
                piece = item.read(MIB)
        finally:
            item.close(fast=True)


class AzureView(PrefixView):
    """The driver `azureblob`.

    It can't list the root, lists all below a folder, of which it gets the first 5,000, fails to read a range, and reads
    whole objects into memory.
    """

    PAGE = 5000
    STEP = 4 * MIB

    @staticmethod
    def fits(storage):
        return hasattr(storage, "_container") and hasattr(getattr(storage, "_blob", None), "list_blobs")

    def _path(self, key):
        return key  # the driver has no root

    def _size(self, key, path):
        return self._driver.size(key) if self._driver.exists(key) else None

    def _list(self, prefix, limit):
        marker = None
        while True:
            ask = self._storage._blob.list_blobs
            page = ask(self._storage._container, prefix or None, marker=marker, maxresults=limit, delimiter="/")
            for folder in page.prefixes:
                yield folder.name, None
            for blob in page.blobs:
                yield blob.name, blob.properties.content_length
            marker = page.next_marker
            if not marker:
                return

    def _stream(self, key, first, last):
        if not are_of("docker_registry.drivers.azureblob", self._storage, "stream_read"):
            return super(AzureView, self)._stream(key, first, last)
        if first is None:
            first, last = 0, self._driver.size(key) - 1
        return self._driver.through("stream_read", lambda: self._fetch(key, first, last))

    def _fetch(self, key, first, last):
        for start in range(first, last + 1, self.STEP):
            wanted = "bytes=%d-%d" % (start, min(last, start + self.STEP - 1))
            yield self._storage._blob.get_blob(self._storage._container, key, x_ms_range=wanted)


def view_of(driver, path):
    for view in (FileView, SwiftView, BotoView, AzureView):
        if view.fits(driver.storage):
            return view(driver, path)
    return DriverView(driver, path)


# ------------------------------------------------------------------------------------------------------------- transfers


class Stopped(Exception):
    """The Rust process wants no more of this read."""


class Outflow(object):
    """Data frames of a read, as many bytes ahead as the Rust process has room for."""

    def __init__(self, channel, window):
        self._channel = channel
        self._left = window
        self._most = min(MOST_FRAME, window)
        self._least = min(LEAST_FRAME, self._most)
        self._parts = []
        self._size = 0

    def add(self, piece):
        self._parts.append(piece)
        self._size += len(piece)
        if len(self._parts) > 100:  # there is a limit to the parts of one sendmsg
            self._parts = [b"".join(map(bytes_of, self._parts))]
        while self._size >= self._least:
            self._send(min(self._size, self._most))
        while self._channel.has_news():
            self._listen()

    def finish(self):
        while self._size:
            self._send(min(self._size, self._most))

    def _send(self, count):
        while self._left < count:
            self._listen()
        self._channel.send({"data": True}, self._taken(count))
        self._left -= count

    def _taken(self, count):
        self._size -= count
        taken = []
        while count:
            part = self._parts.pop(0)
            if len(part) > count:
                part = memoryview(part)
                self._parts.insert(0, part[count:])
                part = part[:count]
            taken.append(part)
            count -= len(part)
        return taken

    def _listen(self):
        header, _ = self._channel.receive()
        if header["call"] == "stop":
            raise Stopped
        self._left += header["bytes"]


def bytes_of(part):
    """Python 2 joins no memoryviews."""
    return part.tobytes() if isinstance(part, memoryview) else part


class Progress(object):
    """Tells the Rust process that bytes move, about twice a second. A driver may read in threads, or in forks."""

    EVERY = 0.5

    def __init__(self, channel):
        self._channel = channel
        self._told = _clock()
        self._moved = 0
        self.over = False

    def add(self, count):
        self._moved += count
        now = _clock()
        if now - self._told >= self.EVERY and not self.over and self._channel.is_mine():
            self._told = now
            self._channel.send({"progress": self._moved})


class Source(object):
    """What stream_write reads: a file that must have `size` bytes."""

    def __init__(self, path, size, progress):
        self._file = io.open(path, "rb", buffering=0)
        self._size = size
        self._progress = progress
        self._at = 0
        self.furthest = 0
        self.failed = None

    def read(self, count=-1):
        left = self._size - self._at
        count = left if count is None or count < 0 else min(count, left)
        data = self._file.read(count) if count else b""
        while len(data) < count:  # one read gives at most 2 GiB
            more = self._file.read(count - len(data))
            if not more:
                self.failed = "the file ends at %d of %d bytes" % (self._at + len(data), self._size)
                raise IOError(errno.EIO, self.failed)
            data += more
        self._at += count
        self.furthest = max(self.furthest, self._at)
        self._progress.add(count)
        return data

    def seek(self, offset, whence=0):
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        self._file.seek(self._at)
        return self._at

    def tell(self):
        return self._at

    def close(self):
        self._file.close()


# ----------------------------------------------------------------------------------------------------------------- calls


class Worker(object):
    """Answers requests. Each call_NAME(request, body) sends what goes before, and returns the last frame: its header, and
    as "content" its body."""

    def __init__(self, channel):
        self._channel = channel
        self._name = None
        self._driver = None
        self._view = None
        self._canary = None

    def answer(self, request, body):
        call = request.get("call")
        if call in ("more", "stop"):  # these crossed the end of the read that they were meant for
            return
        if call != "self_test" and "canary" in request:
            self._canary = native(request["canary"])
        content = b""
        try:
            header = self._handler(call)(request, body)
            content = header.pop("content", b"")
            header["end"] = True
        except Failure as failure:
            if failure.kind == "absent" and not failure.settled:
                failure.kind = "unavailable"
            header = failure.header(self._name, call)
        except BaseException:
            header = Failure.of(call, *sys.exc_info()).header(self._name, call)
            header["error"]["kind"] = "bug"
        if is_worn():
            header["worn"] = True
        self._channel.send(header, [content])

    def _handler(self, call):
        handler = getattr(self, "call_%s" % call, None)
        if handler is None:
            raise Failure("bug", "there is no call %s" % call)
        if self._driver is None and call != "start":
            raise Failure("bug", "%s before a start that succeeded" % call)
        return handler

    # ---- start

    def call_start(self, request, _body):
        self._name = native(request["driver"])
        if request.get("lock"):
            hold_lock(native(request["lock"]))
        sys.path[:0] = [native(folder) for folder in request.get("module_path") or ()]
        install_hook(request.get("translate") or (), native(request.get("cache")))
        install_stand_ins()
        join_namespace()
        storage_class = load_class(self._name)
        settings = native_setting(request.get("config") or {})
        path = native(request.get("path")) or settings.get("storage_path")
        settings.setdefault("storage_path", path)
        storage = self._constructed(storage_class, path, settings)
        self._driver = Driver(storage, request.get("most_names") or MOST_NAMES)
        self._view = view_of(self._driver, path)
        self._canary = native(request.get("canary"))
        return {
            "python": "%d.%d.%d" % sys.version_info[:3],
            "class": "%s.%s" % (storage_class.__module__, storage_class.__name__),
            "version": distribution_version(storage_class),
            "claims_range": self._view.claims_range(),
            "translated": TRANSLATION.changed,
        }

    def _constructed(self, storage_class, path, settings):
        try:
            with Guard("__init__"):
                storage = storage_class(path, Config(settings))
        except Failure as failure:
            message = "the driver %s can't be set up: %s" % (self._name, failure.details["line"])
            raise as_configuration(failure, message)
        size = getattr(storage, "buffer_size", None)
        if isinstance(size, int) and size < MIB:
            storage.buffer_size = MIB
        return storage

    # ---- absence

    def call_canary(self, request, _body):
        self._canary = native(request["key"])
        return {}

    def _stat(self, key, unsure_ok=False):
        kind, size = self._view.look(key)
        if kind == "absent" and not self._view.certain:
            self._check_canary(key, unsure_ok)
        return kind, size

    def _check_canary(self, key, unsure_ok=False):
        """Raises unless the backend still shows what is known to be in it. To be called after `key` seemed absent."""
        if self._canary is None:
            if not unsure_ok:
                raise Failure(
                    "unavailable",
                    "nothing says that the backend can be reached: there is no object known to be in it",
                    "exists",
                )
        elif not self._driver.exists(self._canary):
            raise Failure(
                "unavailable",
                "%s seems absent, but so does %s, which was there: the backend is down or emptied" % (key, self._canary),
                "exists",
            )

    def _must_be_there(self):
        """Some drivers make what is missing: a disk that is not mounted would be written to as if it were."""
        if self._canary is not None and not self._view.certain and not self._driver.exists(self._canary):
            message = "%s, which was there, is gone: the backend is down, emptied or not mounted" % self._canary
            raise Failure("unavailable", message, "exists", untouched=True)

    def _absent(self, key, failure):
        """The driver said that `key` is not there, of which some say the same whatever went wrong. Returns what it was."""
        kind, _ = self._stat(key)
        failure.settled = True
        if kind == "object":
            failure.kind = "unavailable"
            failure.message = "%s is there, but: %s" % (key, failure.message)
        return failure

    # ---- stat, get, read

    def call_stat(self, request, _body):
        kind, size = self._stat(native(request["key"]), request.get("unsure_ok"))
        return {"kind": kind, "size": size}

    def call_get(self, request, _body):
        key, most = native(request["key"]), request["most"]
        kind, size = self._stat(key)
        answer = {"kind": kind, "size": size}
        if kind != "object":
            return answer
        if size > most:
            answer["large"] = True
            return answer
        try:
            content = self._driver.content(key)
            if len(content) != size:  # it may have been replaced in between
                size, content = self._driver.size(key), self._driver.content(key)
        except Failure as failure:
            if failure.kind == "absent":
                raise self._absent(key, failure)
            raise
        if len(content) != size:
            message = "get_content gave %d bytes of %s, which has %d" % (len(content), key, size)
            raise Failure("short", message, "get_content")
        answer["size"] = size
        answer["content"] = content
        return answer

    def call_read(self, request, _body):
        key, length = native(request["key"]), request["length"]
        if not length:
            return {}
        flow = Outflow(self._channel, request["window"])
        pieces = self._wanted(key, request["offset"], length, request["ranged"])
        try:
            for piece in pieces:
                flow.add(piece)
            flow.finish()
        except Stopped:
            return {"stopped": True}
        except Failure as failure:
            if failure.kind == "absent":
                raise self._absent(key, failure)
            raise
        finally:
            pieces.close()
        return {}

    def _wanted(self, key, offset, length, ranged):
        """Exactly the bytes that were asked for, or a Failure after what there was of them."""
        last = offset + length - 1
        pieces = self._view.pieces(key, offset, last) if ranged else self._view.pieces(key)
        skip, left = 0 if ranged else offset, length
        try:
            for piece in pieces:
                if skip:
                    skip, piece = max(0, skip - len(piece)), piece[skip:]
                if ranged and len(piece) > left:
                    message = "stream_read gave more than the range %d-%d of %s" % (offset, last, key)
                    raise Failure("bug", message, "stream_read")
                if len(piece) > left:
                    piece = piece[:left]
                left -= len(piece)
                if piece:
                    yield piece
                if not left and not ranged:
                    return
        finally:
            pieces.close()
        if left:
            message = "stream_read gave %d of %d bytes of %s" % (length - left, length, key)
            raise Failure("short", message, "stream_read")

    # ---- list, find_canary

    def call_list(self, request, _body):
        folder = native(request["key"])
        found = self._view.entries(folder)
        if not found:
            if not self._view.certain:
                self._check_canary(folder or "the root", request.get("unsure_ok"))
            return {"absent": True}
        entries = self._in_order(folder, found, text_bytes(native(request.get("from") or "")))
        return self._send_names(entries, request.get("limit"))

    def call_list_below(self, request, _body):
        """Where the view lists so: all objects, by the rest of their paths."""
        after, limit = native(request.get("after") or ""), request["limit"]
        found = self._view.below(native(request["key"]), after, min(limit + 1, self._view.PAGE))
        entries = ((name, "object", int(size)) for name, size in found if all(map(COMPONENT.match, name.split("/"))))
        return self._send_names(entries, limit)

    def _send_names(self, entries, limit):
        frame, since = [], _clock()
        for entry in itertools.islice(entries, limit):
            frame.append(entry)
            if len(frame) == NAMES_IN_FRAME or _clock() - since > Progress.EVERY:
                self._channel.send({"names": frame})
                frame, since = [], _clock()
        if frame:
            self._channel.send({"names": frame})
        return {"more": next(entries, None) is not None}

    def _in_order(self, folder, found, first):
        """Names that do not stand before `first`. One whose kind nobody told is looked at when its turn comes, for as a folder it
        stands further back. What is no name of Longshore's can't be asked for by any, and may be no text at all."""
        heap = []

        def add(name, kind, size):
            for kind, size in [("object", size), ("folder", None)] if kind == BOTH else [(kind, size)]:
                # What may be a folder has to be looked at where the folder would not stand before.
                if order(name, kind or "folder") >= first:
                    heapq.heappush(heap, (order(name, kind), name, kind, size))

        for name in found:
            if COMPONENT.match(name):
                add(name, *found[name])
        while heap:
            _, name, kind, size = heapq.heappop(heap)
            if kind is None:
                kind, size = self._stat(join(folder, name))
                if kind != "absent":  # it has gone since it was listed
                    add(name, kind, size)
            else:
                yield name, kind, size

    def call_find_canary(self, _request, _body):
        for key in (ALIVE, ".driver/store-id", "_index"):
            if self._view.look(key)[0] == "object":
                return {"key": key}
        return {"key": next(self._objects(), None)}

    def _objects(self, most=1000):
        """Objects of the store, depth first, among the first `most` names."""
        todo = [("", "folder")]
        while todo and most > 0:
            key, kind = todo.pop()
            most -= 1
            if kind is None:
                kind = self._view.look(key)[0]
            if kind in ("object", BOTH):
                yield key
            if kind in ("folder", BOTH):
                found = self._view.entries(key)
                first = sorted(name for name in found if COMPONENT.match(name))[:most]
                todo.extend((join(key, name), found[name][0]) for name in reversed(first))

    # ---- put, write

    def call_put(self, request, body):
        key = native(request["key"])
        self._must_be_there()
        self._view.make_way(key)
        self._driver.call("put_content", key, body)
        if request["verify"] == "bytes":
            self._verify_content(key, body)
        else:
            self._verify_size(key, len(body), "put_content")
        return {"size": len(body)}

    def _verify_content(self, key, content):
        try:
            found = self._driver.content(key)
        except Failure as failure:
            raise self._lost(key, failure)
        if found != content:
            message = "%s was written with %d bytes, and other %d are read" % (key, len(content), len(found))
            raise Failure("mismatch", message, "put_content")

    def _lost(self, key, failure):
        """Why what has just been written can't be read: if the backend is there, the driver lost it."""
        if failure.kind != "absent":
            return failure
        if self._absent(key, failure).kind == "absent":
            failure.kind = "mismatch"
            failure.message = "%s is not there after it was written: %s" % (key, failure.message)
        return failure

    def call_write(self, request, _body):
        key, size = native(request["key"]), request["size"]
        self._must_be_there()
        self._view.make_way(key)
        if size == 0:
            self._driver.call("put_content", key, b"")
            self._verify_size(key, 0, "put_content")
            return {"size": 0}
        progress = Progress(self._channel)
        source = Source(native(request["file"]), size, progress)
        try:
            self._driver.call("stream_write", key, source)
            if source.failed:
                raise Failure("mismatch", "%s can't be whole: %s" % (key, source.failed), "stream_write")
            self._verify_size(key, size, "stream_write")
            if request["verify"] == "bytes":
                self._verify_bytes(key, request, progress)
            elif source.furthest < size:
                message = "stream_write returned after %d of the %d bytes of %s" % (source.furthest, size, key)
                raise Failure("mismatch", message, "stream_write")
        finally:
            progress.over = True
            source.close()
        return {"size": size}

    def _verify_size(self, key, size, call):
        try:
            found = self._driver.size(key)
        except Failure as failure:
            raise self._lost(key, failure)
        if found != size:
            raise Failure("mismatch", "%s was written with %d bytes and has %d" % (key, size, found), call)

    def _verify_bytes(self, key, request, progress):
        size, ranged = request["size"], request.get("ranged")
        step = VERIFY_RANGE if ranged else size
        at = 0
        with io.open(native(request["file"]), "rb", buffering=0) as file:
            try:
                for start in range(0, size, step):
                    for piece in self._wanted(key, start, min(step, size - start), ranged):
                        if file.read(len(piece)) != piece:
                            message = "%s differs from what was written, in the %d bytes from %d" % (key, len(piece), at)
                            raise Failure("mismatch", message, "stream_write")
                        at += len(piece)
                        progress.add(len(piece))
            except Failure as failure:
                if failure.kind == "short":
                    failure.kind = "mismatch"
                raise self._lost(key, failure)

    # ---- remove

    def call_remove(self, request, _body):
        key = native(request["key"])
        if self._stat(key)[0] != "object":  # the remove of most drivers is recursive
            return {"removed": False}
        if request.get("by_prefix"):
            self._check_siblings(key)
        try:
            self._driver.call("remove", key)
        except Failure as failure:
            if failure.kind != "absent":
                raise
            if self._absent(key, failure).kind != "absent":
                raise
            return {"removed": False}
        if self._driver.exists(key):
            raise Failure("bug", "%s is still there after it was removed" % key, "remove")
        return {"removed": True}

    def _check_siblings(self, key):
        """For drivers that remove whatever has the key as a prefix."""
        folder, _, name = key.rpartition("/")
        found = self._view.entries(folder)
        if name not in found:
            message = "%s is not in the listing of %s, so nobody can say what would go with it" % (key, folder or "the root")
            raise Failure("unsafe", message, "remove")
        for other in found:
            if other != name and other.startswith(name):
                message = "removing %s would remove %s, too" % (key, join(folder, other))
                raise Failure("unsafe", message, "remove")

    # ---- self_test

    def call_self_test(self, request, _body):
        answer = {"range": False, "notes": [], "lists_below": self._view.lists_below}
        answer.update(dict.fromkeys(("removes_by_prefix", "list", "empty", "empty_folders")))
        if request.get("write"):
            self._test_by_writing(answer)
        else:
            self._test_by_reading(native(request.get("canary")), answer)
        return answer

    def _test_by_reading(self, key, answer):
        answer["empty_folders"] = self._view.shows_empty_folders
        size = self._driver.size(key) if key else 0
        if not 5 <= size <= MIB:
            answer["notes"].append("no object of 5 bytes to 1 MiB is known, so ranges were not tried")
        else:
            answer["range"] = self._test_range(key, self._driver.content(key), answer["notes"])

    def _test_range(self, key, content, notes):
        if not self._view.claims_range():
            return False
        try:
            found = b"".join(self._view.pieces(key, 2, 4))
        except Failure as failure:
            notes.append("a ranged read failed: %s" % printable(failure.details.get("line") or failure.message))
            return False
        if found != content[2:5]:
            notes.append("a ranged read of 3 bytes gave %d others" % len(found))
        return found == content[2:5]

    def _test_by_writing(self, answer):
        self._driver.call("put_content", ALIVE, b"longshore")
        self._canary = ALIVE
        folder = ".driver/selftest/%s" % hashlib.sha256(os.urandom(32)).hexdigest()[:16]
        short, long, empty = folder + "/a", folder + "/ab", folder + "/empty"
        try:
            content = bytes(bytearray(range(64)))
            self._driver.call("put_content", short, content)
            self._verify_content(short, content)
            answer["range"] = self._test_range(short, content, answer["notes"])
            self._driver.call("put_content", long, content)
            answer["empty"] = self._test_empty(empty, answer["notes"])
            answer["list"] = self._test_list(folder, set(("a", "ab", "empty")), answer["notes"])
            self._driver.call("remove", short)
            answer["removes_by_prefix"] = not self._driver.exists(long)
        finally:
            self._clean(folder, (short, long, empty))
        answer["empty_folders"] = self._shows(folder)

    def _shows(self, folder):
        """Whether a folder is listed in which there is nothing any more."""
        above, _, name = folder.rpartition("/")
        try:
            found = self._view.entries(above)
            return name in found and (found[name][0] or self._view.look(folder)[0]) != "absent"
        except Failure as failure:
            if failure.kind in ("absent", "bug"):
                return failure.kind == "bug"
            raise

    def _test_empty(self, key, notes):
        try:
            self._driver.call("put_content", key, b"")
            self._verify_content(key, b"")
            return True
        except Failure as failure:
            if failure.kind not in ("mismatch", "bug"):
                raise
            notes.append("an empty object is not kept: %s" % printable(failure.message))
            return False

    def _test_list(self, folder, names, notes):
        try:
            missing = names.difference(self._view.entries(folder))
        except Failure as failure:
            if failure.kind != "bug":
                raise
            notes.append("a listing failed: %s" % printable(failure.message))
            return False
        if missing:
            notes.append("a listing lacks %s" % ", ".join(sorted(missing)))
        return not missing

    def _clean(self, folder, keys):
        """Each by itself, then the directory that some drivers make. The folder's name is of this test alone."""
        for key in keys + (folder,):
            try:
                self._driver.call("remove", key)
            except Failure:
                pass


def is_worn():
    """Whether a driver leaks so much that another worker had better go on."""
    try:
        # Not ru_maxrss, which starts at the peak of the process that started this one.
        with open("/proc/self/statm") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return resident > MOST_MEMORY or len(os.listdir("/proc/self/fd")) > MOST_DESCRIPTORS
    except EnvironmentError as error:  # there may be none left to look with
        return error.errno in (errno.EMFILE, errno.ENFILE)


def order(name, kind):
    """A folder stands where its name with a slash does."""
    text = text_bytes(name)
    return text + b"/" if kind == "folder" else text


def text_bytes(text):
    return text if PY2 else text.encode("utf-8", "surrogateescape")


# ------------------------------------------------------------------------------------------------------------------ main


def take_over_descriptors():
    """Keeps the socket to itself, and lets all that a driver prints become lines of the Rust process's log."""
    sock = socket.fromfd(0, socket.AF_UNIX, socket.SOCK_STREAM)
    fcntl.fcntl(sock.fileno(), fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    sys.stdout = sys.__stdout__ = sys.stderr
    return sock


def main():
    channel = Channel(take_over_descriptors())
    watch_parent()
    if sys.path[:1] == [""]:  # of `python -c`: what lies in the working directory is no module
        del sys.path[0]
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    worker = Worker(channel)
    while True:
        worker.answer(*channel.receive())


if __name__ == "__main__":
    main()
