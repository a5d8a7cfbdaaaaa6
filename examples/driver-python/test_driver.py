"""What longshore-driver-check can't reach from outside: crashes at one point, damaged records, a second process."""

import os
import socket
import tempfile
import unittest
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import grpc

from driver import driver_pb2 as pb
from driver import endpoint, file_system, listing, objects, records
from driver.errors import Failure, Reason
from driver.keys import check_key
from driver.limits import MAX_PAGE, UPLOAD_TTL
from driver.records import Commit, Record
from driver.sessions import Session, Sessions
from driver.store import Store
from driver.writing import Writer

ID = "0123456789abcdef0123456789abcdef"
FENCE = pb.Fence(counter=1, owner="tests")


class Case(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def refused(self, reason: Reason, call: Callable[..., object], *arguments: object) -> None:
        with self.assertRaises(Failure) as caught:
            call(*arguments)
        self.assertIs(caught.exception.reason, reason, caught.exception.message)


class StoreCase(Case):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.folder / "root"
        self.root.mkdir()
        self.addCleanup(lambda: self.store.close())
        self.open()

    def open(self) -> None:
        self.store = Store(str(self.root))
        file_system.prepare(self.store)
        self.sessions = Sessions(self.store)

    def restart(self) -> None:
        self.store.close()
        self.open()

    def put(self, key: str) -> None:
        objects.put(self.store, pb.PutRequest(key=key, content=b"x", always=pb.PutRequest.Always()))


class Keys(Case):
    def test_a_key_is_what_the_contract_says(self) -> None:
        for key in ("a", "A/b", "...", "a/.b", ".driverless/x", "+=,@~-_.", "x" * 255, "/".join(["y" * 204] * 5)):
            check_key(key)
        for key in ("", "/", "a/", "/a", "a//b", ".", "a/..", "a b", "a\n", "é", "x" * 256, "/".join(["y" * 205] * 5)):
            self.refused(Reason.INVALID_KEY, check_key, key)
        for key in (".driver", ".driver/store-id", ".driver/uploads/x"):
            self.refused(Reason.INVALID_KEY, check_key, key)


class Uploads(StoreCase):
    def upload(self, content: bytes) -> Writer:
        writer = self.writer()
        create = pb.WriteOpen.Create(key="a/b")
        self.sessions.open(pb.WriteOpen(upload_id=ID, fence=FENCE, create=create), writer)
        writer.take(pb.WriteStreamRequest(chunk=pb.WriteChunk(data=content)))
        return writer

    def writer(self) -> Writer:
        writer = Writer(self.sessions)
        self.addCleanup(writer.leave)
        return writer

    def session(self) -> Session:
        return self.sessions._by_id[ID]

    def found(self) -> pb.Upload:
        return self.sessions.get_upload(pb.GetUploadRequest(upload_id=ID)).upload

    def begin_commit(self) -> Record:
        """The first step of a commit alone: what is to come is on disk."""
        commit = Commit(size=5, bookmark=b"of the commit", etag="e", modified_ns=1)
        record = replace(self.session().known(), commit=commit)
        records.save(self.store, record)
        return record

    def test_a_commit_that_a_crash_cut_off_before_the_rename_leaves_the_session_open(self) -> None:
        self.upload(b"hello")
        self.begin_commit()
        self.restart()
        self.assertEqual((self.found().state, self.found().durable), (pb.UPLOAD_STATE_OPEN, 0))

    def test_a_commit_that_a_crash_cut_off_behind_the_rename_is_committed(self) -> None:
        self.upload(b"hello")
        record = self.begin_commit()
        self.store.place(records.data_path(ID), record.key)
        for _ in range(2):  # it stays so
            self.restart()
            found = self.found()
            self.assertEqual((found.state, found.durable), (pb.UPLOAD_STATE_COMMITTED, 5))
            self.assertEqual((found.bookmark, found.object.size), (b"of the commit", 5))

    def test_bytes_behind_the_last_mark_are_forgotten_by_a_crash(self) -> None:
        writer = self.upload(b"hello")
        mark = pb.WriteMark(offset=5, bookmark=b"of the mark", flush=True)
        writer.take(pb.WriteStreamRequest(mark=mark))
        writer.take(pb.WriteStreamRequest(chunk=pb.WriteChunk(offset=5, data=b"lost")))
        self.restart()
        writer = self.writer()
        opened = self.sessions.open(pb.WriteOpen(upload_id=ID, fence=FENCE, resume=pb.WriteOpen.Resume()), writer)
        self.assertEqual((opened.durable, opened.bookmark), (5, b"of the mark"))
        writer.take(pb.WriteStreamRequest(commit=pb.WriteCommit(size=5)))
        self.assertEqual((self.root / "a/b").read_bytes(), b"hello")

    def test_a_commit_keeps_its_bookmark_also_behind_a_mark_that_was_not_flushed(self) -> None:
        writer = self.upload(b"hello")
        writer.take(pb.WriteStreamRequest(mark=pb.WriteMark(offset=5, bookmark=b"of the mark")))
        writer.take(pb.WriteStreamRequest(chunk=pb.WriteChunk(offset=5, data=b"!")))
        writer.take(pb.WriteStreamRequest(commit=pb.WriteCommit(size=6, bookmark=b"of the commit")))
        writer.finish()
        self.assertEqual((self.found().bookmark, self.found().durable), (b"of the commit", 6))

    def test_a_damaged_session_is_not_listed_and_not_unknown_and_can_be_ended(self) -> None:
        self.upload(b"hello")
        (self.root / records.record_path(ID)).write_text('{"upload_id": "012')
        with self.assertLogs("driver.records", "WARNING"):
            self.restart()
        self.assertEqual(len(self.sessions.list_uploads(pb.ListUploadsRequest()).uploads), 0)
        self.refused(Reason.IO_ERROR, self.found)
        self.assertTrue(self.sessions.end_upload(pb.EndUploadRequest(upload_id=ID, fence=FENCE)).existed)
        self.refused(Reason.UPLOAD_UNKNOWN, self.found)

    def test_an_idle_session_expires_and_one_with_a_writer_does_not(self) -> None:
        writer, session = self.upload(b"hello"), self.session()
        record = session.known()
        session.record = replace(record, updated_ns=record.updated_ns - int(2 * UPLOAD_TTL * 1e9))
        self.sessions.expire_idle()
        self.assertFalse(session.is_gone)
        writer.finish()
        self.sessions.expire_idle()
        self.assertTrue(session.is_gone)


class TheStore(StoreCase):
    def test_a_second_process_is_refused(self) -> None:
        with self.assertRaisesRegex(RuntimeError, "another process"):
            Store(str(self.root))

    def test_nothing_is_written_after_a_folder_could_not_be_synced(self) -> None:
        self.store.is_broken = True
        self.refused(Reason.IO_ERROR, self.put, "a")
        self.assertFalse((self.root / "a").exists())

    def test_what_is_not_found_below_a_root_that_is_away_is_not_absent(self) -> None:
        self.root.rename(self.folder / "away")
        self.addCleanup((self.folder / "away").rename, self.root)
        self.refused(Reason.BACKEND_UNAVAILABLE, objects.stat, self.store, pb.StatRequest(key="a"))
        self.refused(Reason.BACKEND_UNAVAILABLE, self.put, "a")
        self.refused(Reason.BACKEND_UNAVAILABLE, listing.list_keys, self.store, pb.ListRequest())

    def test_folders_that_a_crash_left_empty_are_not_shown_and_in_nobodys_way(self) -> None:
        (self.root / "a/b/c").mkdir(parents=True)
        self.assertEqual(len(listing.list_keys(self.store, pb.ListRequest()).entries), 0)
        self.put("a/b")
        self.assertEqual((self.root / "a/b").read_bytes(), b"x")


class Pages(StoreCase):
    def pages(self, limit: int) -> list[str]:
        seen: list[str] = []
        while True:
            after = seen[-1] if seen else ""
            page = listing.list_keys(self.store, pb.ListRequest(recursive=True, start_after=after, limit=limit))
            self.assertLessEqual(len(page.entries), limit)
            seen += [entry.object.key for entry in page.entries]
            if not page.more:
                return seen

    def test_a_folder_of_more_than_one_window_is_listed_once_and_in_order(self) -> None:
        expected = [f"{number:05}" for number in range(3 * listing.WINDOW)]
        for name in reversed(expected):
            (self.root / name).touch()
        self.assertEqual(self.pages(MAX_PAGE - 1), expected)

    def test_pages_go_on_inside_folders_in_the_order_of_bytes(self) -> None:
        keys = ["A", "a-b", "a/b/c", "a/b/d", "a/c", "a0", "b"]
        for key in keys:
            self.put(key)
        for limit in (1, 2, 3):
            self.assertEqual(self.pages(limit), keys)

    def test_the_deepest_key_is_listed(self) -> None:
        key = "/".join(["d"] * 512)
        self.put(key)
        self.assertEqual(self.pages(10), [key])
        page = listing.list_keys(self.store, pb.ListRequest())
        self.assertEqual([entry.common_prefix for entry in page.entries], ["d/"])


class Endpoints(Case, unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.server = grpc.aio.server()
        self.addAsyncCleanup(self.server.stop, None)

    async def test_those_that_are_none_or_not_safe_are_refused(self) -> None:
        precious, public, live = self.folder / "precious", self.folder / "public", self.folder / "live"
        precious.write_text("x")
        public.mkdir()
        public.chmod(0o777)
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(live))
        listener.listen()
        for where in (
            "",
            "http://127.0.0.1:1",
            "tcp://10.0.0.1:7000",
            "tcp://0.0.0.0:0",
            "tcp://127.0.0.1",
            "unix://relative",
            "unix:///" + "x" * 108,
            f"unix://{precious}",
            f"unix://{public}/socket",
            f"unix://{live}",
        ):
            with self.subTest(where), self.assertRaises((OSError, ValueError)):
                endpoint.bind(self.server, where)
        self.assertEqual(precious.read_text(), "x")

    async def test_a_stale_socket_is_replaced_by_a_private_one(self) -> None:
        path = self.folder / "socket"
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        endpoint.bind(self.server, f"unix://{path}")
        self.assertEqual(os.lstat(path).st_mode & 0o777, 0o600)


if __name__ == "__main__":
    unittest.main()
