//! The rules of upload sessions, on the filesystem and in memory: they are one and the same.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use longshore_driver_sdk::memory::MemoryDriver;
use longshore_driver_sdk::{Driver, OpenMode, OpenUpload, Optional, Reason, UploadQuery, UploadState};

use crate::support::*;

/// Runs one check against both.
macro_rules! on_both {
    ($($name:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            check::$name(&MemoryDriver::default()).await;
            check::$name(&store().await.driver).await;
        }
    )*};
}

on_both! {
    an_upload_is_invisible_until_its_commit_and_whole_afterwards
    a_creation_is_repeated_only_by_its_own_writer
    a_create_over_an_object_or_a_resume_of_nothing_is_refused
    a_lower_fence_is_refused_whether_the_writer_is_live_or_gone
    a_higher_or_equal_fence_evicts_and_the_evicted_can_do_nothing
    an_idle_writer_is_evicted_without_its_help
    an_evicted_writer_is_told_although_it_does_nothing
    what_lies_behind_the_durable_mark_is_gone_on_resume
    a_commit_of_the_wrong_size_keeps_the_stream_and_the_session
    a_commit_over_an_object_keeps_both
    a_committed_session_is_seen_until_it_is_forgotten
    ending_an_open_session_takes_its_bytes_and_evicts_its_writer
    an_end_with_a_lower_fence_is_refused
    bookmarks_over_four_kib_are_refused
    a_dropped_stream_keeps_its_last_mark
    sessions_are_listed_in_pages
    draining_makes_marks_durable
    marks_are_made_durable_by_themselves_after_enough_bytes
    a_zero_byte_upload_is_an_object
    of_many_writers_at_once_one_stays
}

mod check {
    use super::*;

    pub(super) async fn an_upload_is_invisible_until_its_commit_and_whole_afterwards(driver: &dyn Driver) {
        let content = noise(3_000_000);
        let (upload, mut stream) = create(driver, 1, 1, "objects/aa/x").await.unwrap();
        assert_eq!((upload.durable, upload.bookmark, upload.state), (0, bytes("start"), UploadState::Open));
        for piece in content.chunks(256 * 1024) {
            stream.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        let ack = stream.mark(bytes("m"), true).await.unwrap();
        assert_eq!((ack.received, ack.durable), (3_000_000, 3_000_000));
        assert_eq!(reason(driver.stat(&key("objects/aa/x")).await), Reason::KeyNotFound);
        let done = stream.commit(3_000_000, bytes("end")).await.unwrap();
        assert_eq!(
            (done.state, done.durable, done.bookmark),
            (UploadState::Committed, 3_000_000, bytes("end"))
        );
        let object = driver.stat(&key("objects/aa/x")).await.unwrap();
        assert_eq!(done.object.unwrap().etag, object.etag);
        assert!(read_all(driver, &key("objects/aa/x")).await.unwrap() == content);
    }

    pub(super) async fn a_creation_is_repeated_only_by_its_own_writer(driver: &dyn Driver) {
        drop(create(driver, 1, 1, "a").await.unwrap());
        let (again, mut stream) = create(driver, 1, 1, "a").await.unwrap();
        assert_eq!(again.durable, 0);
        assert_eq!(reason(create(driver, 1, 2, "a").await), Reason::UploadExists);
        assert_eq!(reason(create(driver, 1, 1, "b").await), Reason::UploadExists);
        write(&mut stream, "x").await;
        stream.mark(bytes("m"), true).await.unwrap();
        assert_eq!(reason(create(driver, 1, 1, "a").await), Reason::UploadExists);
        assert!(stream.mark(bytes("n"), true).await.is_ok(), "a refused creation must not evict the writer");
    }

    pub(super) async fn a_create_over_an_object_or_a_resume_of_nothing_is_refused(driver: &dyn Driver) {
        driver.put(&key("a"), bytes("x"), longshore_driver_sdk::Condition::Always).await.unwrap();
        assert_eq!(reason(create(driver, 1, 1, "a").await), Reason::KeyExists);
        assert_eq!(reason(resume(driver, 1, 1).await), Reason::UploadUnknown);
        assert_eq!(reason(driver.get_upload(&id(1)).await), Reason::UploadUnknown);
        assert!(!driver.end_upload(&id(1), &fence(1)).await.unwrap());
    }

    pub(super) async fn a_lower_fence_is_refused_whether_the_writer_is_live_or_gone(driver: &dyn Driver) {
        let (_, mut stream) = create(driver, 1, 5, "a").await.unwrap();
        assert_eq!(reason(resume(driver, 1, 4).await), Reason::Fenced);
        write(&mut stream, "x").await;
        stream.mark(bytes("m"), true).await.unwrap();
        drop(stream);
        assert_eq!(reason(resume(driver, 1, 4).await), Reason::Fenced);
        drop(resume(driver, 1, 7).await.unwrap());
        assert_eq!(driver.get_upload(&id(1)).await.unwrap().fence, fence(7));
        assert_eq!(reason(resume(driver, 1, 6).await), Reason::Fenced);
    }

    pub(super) async fn a_higher_or_equal_fence_evicts_and_the_evicted_can_do_nothing(driver: &dyn Driver) {
        let (_, mut first) = create(driver, 1, 1, "a").await.unwrap();
        write(&mut first, "ab").await;
        first.mark(bytes("m"), true).await.unwrap();
        write(&mut first, "lost").await;
        let (upload, mut second) = resume(driver, 1, 1).await.unwrap();
        assert_eq!(upload.durable, 2);
        assert_eq!(reason(first.write(bytes("stale")).await), Reason::Fenced);
        let (_, mut third) = resume(driver, 1, 2).await.unwrap();
        write(&mut third, "cd").await;
        for stale in [&mut first, &mut second] {
            assert_eq!(reason(stale.write(bytes("stale")).await), Reason::Fenced);
            assert_eq!(reason(stale.mark(bytes("s"), true).await), Reason::Fenced);
            assert_eq!(reason(stale.commit(2, bytes("s")).await), Reason::Fenced);
        }
        third.commit(4, bytes("end")).await.unwrap();
        assert_eq!(read_all(driver, &key("a")).await.unwrap(), b"abcd");
    }

    pub(super) async fn an_idle_writer_is_evicted_without_its_help(driver: &dyn Driver) {
        let (_, mut first) = create(driver, 1, 1, "a").await.unwrap();
        let begun = std::time::Instant::now();
        let (_, second) = resume(driver, 1, 2).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1));
        drop(second);
        assert_eq!(broken_by(&mut first).await.reason(), Reason::Fenced);
    }

    pub(super) async fn what_lies_behind_the_durable_mark_is_gone_on_resume(driver: &dyn Driver) {
        let (_, mut stream) = create(driver, 1, 1, "a").await.unwrap();
        write(&mut stream, "keep").await;
        stream.mark(bytes("four"), true).await.unwrap();
        write(&mut stream, "these bytes were never marked").await;
        drop(stream);
        let (upload, mut stream) = resume(driver, 1, 2).await.unwrap();
        assert_eq!((upload.durable, upload.bookmark), (4, bytes("four")));
        write(&mut stream, "!").await;
        stream.commit(5, bytes("end")).await.unwrap();
        assert_eq!(read_all(driver, &key("a")).await.unwrap(), b"keep!");
    }

    pub(super) async fn a_commit_of_the_wrong_size_keeps_the_stream_and_the_session(driver: &dyn Driver) {
        let (_, mut stream) = create(driver, 1, 1, "a").await.unwrap();
        write(&mut stream, "abc").await;
        assert_eq!(reason(stream.commit(4, bytes("e")).await), Reason::SizeMismatch);
        assert_eq!(driver.get_upload(&id(1)).await.unwrap().state, UploadState::Open);
        write(&mut stream, "d").await;
        stream.commit(4, bytes("e")).await.unwrap();
        assert_eq!(read_all(driver, &key("a")).await.unwrap(), b"abcd");
    }

    pub(super) async fn a_commit_over_an_object_keeps_both(driver: &dyn Driver) {
        let (_, mut stream) = create(driver, 1, 1, "a").await.unwrap();
        write(&mut stream, "mine").await;
        driver.put(&key("a"), bytes("theirs"), longshore_driver_sdk::Condition::Always).await.unwrap();
        assert_eq!(reason(stream.commit(4, bytes("e")).await), Reason::KeyExists);
        assert_eq!(read_all(driver, &key("a")).await.unwrap(), b"theirs");
        assert_eq!(driver.get_upload(&id(1)).await.unwrap().state, UploadState::Open);
        assert!(driver.delete(&key("a"), None).await.unwrap());
        stream.commit(4, bytes("e")).await.unwrap();
        assert_eq!(read_all(driver, &key("a")).await.unwrap(), b"mine");
    }

    pub(super) async fn a_committed_session_is_seen_until_it_is_forgotten(driver: &dyn Driver) {
        let (_, mut stream) = create(driver, 1, 1, "a/b").await.unwrap();
        write(&mut stream, "abc").await;
        stream.commit(3, bytes("digest")).await.unwrap();
        stream.commit(3, bytes("digest")).await.unwrap();
        let (upload, mut again) = resume(driver, 1, 2).await.unwrap();
        assert_eq!(
            (upload.state, upload.durable, upload.bookmark),
            (UploadState::Committed, 3, bytes("digest"))
        );
        assert_eq!(upload.object.unwrap().size, 3);
        assert_eq!(reason(again.write(bytes("x")).await), Reason::UploadCommitted);
        assert_eq!(reason(again.mark(bytes("x"), true).await), Reason::UploadCommitted);
        assert_eq!(reason(again.commit(2, bytes("x")).await), Reason::SizeMismatch);
        assert_eq!(again.commit(3, bytes("other")).await.unwrap().bookmark, bytes("digest"));
        assert_eq!(reason(resume(driver, 1, 1).await), Reason::Fenced);
        assert!(driver.end_upload(&id(1), &fence(2)).await.unwrap());
        assert!(!driver.end_upload(&id(1), &fence(2)).await.unwrap());
        assert!(driver.get_upload(&id(1)).await.optional().unwrap().is_none());
        assert_eq!(read_all(driver, &key("a/b")).await.unwrap(), b"abc");
    }

    pub(super) async fn ending_an_open_session_takes_its_bytes_and_evicts_its_writer(driver: &dyn Driver) {
        let (_, mut stream) = create(driver, 1, 1, "a").await.unwrap();
        write(&mut stream, "abc").await;
        assert!(driver.end_upload(&id(1), &fence(1)).await.unwrap());
        assert_eq!(reason(stream.commit(3, bytes("e")).await), Reason::Fenced);
        assert_eq!(reason(driver.stat(&key("a")).await), Reason::KeyNotFound);
        assert_eq!(reason(resume(driver, 1, 9).await), Reason::UploadUnknown);
        create(driver, 1, 1, "a").await.unwrap();
    }

    pub(super) async fn an_end_with_a_lower_fence_is_refused(driver: &dyn Driver) {
        let (_, mut stream) = create(driver, 1, 3, "a").await.unwrap();
        assert_eq!(reason(driver.end_upload(&id(1), &fence(2)).await), Reason::Fenced);
        write(&mut stream, "abc").await;
        stream.commit(3, bytes("e")).await.unwrap();
        assert_eq!(reason(driver.end_upload(&id(1), &fence(2)).await), Reason::Fenced);
    }

    pub(super) async fn an_evicted_writer_is_told_although_it_does_nothing(driver: &dyn Driver) {
        let (_, older) = create(driver, 1, 1, "a").await.unwrap();
        let mut told = older.evicted();
        assert!(futures_util::poll!(&mut told).is_pending(), "nobody took the session away yet");
        let (_, newer) = resume(driver, 1, 2).await.unwrap();
        let error = tokio::time::timeout(Duration::from_secs(20), told).await.unwrap();
        assert_eq!(error.reason(), Reason::Fenced);
        assert!(futures_util::poll!(newer.evicted()).is_pending());
    }

    pub(super) async fn bookmarks_over_four_kib_are_refused(driver: &dyn Driver) {
        let (most, more) = (Bytes::from(vec![7; 4096]), Bytes::from(vec![7; 4097]));
        let mode = OpenMode::Create { key: key("a"), size_hint: None, bookmark: more.clone() };
        let open = OpenUpload { id: id(1), fence: fence(1), mode };
        assert_eq!(reason(driver.open_upload(open).await), Reason::RequestNotUnderstood);
        let (_, mut stream) = create(driver, 1, 1, "a").await.unwrap();
        assert_eq!(reason(stream.mark(more.clone(), true).await), Reason::RequestNotUnderstood);
        assert_eq!(reason(stream.commit(0, more).await), Reason::RequestNotUnderstood);
        stream.mark(most.clone(), true).await.unwrap();
        assert_eq!(driver.get_upload(&id(1)).await.unwrap().bookmark, most);
    }

    pub(super) async fn a_dropped_stream_keeps_its_last_mark(driver: &dyn Driver) {
        let (_, mut stream) = create(driver, 1, 1, "a").await.unwrap();
        write(&mut stream, "abc").await;
        let ack = stream.mark(bytes("three"), false).await.unwrap();
        assert_eq!((ack.received, ack.durable), (3, 0));
        drop(stream);
        for _ in 0..200 {
            if driver.get_upload(&id(1)).await.unwrap().durable == 3 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the mark was lost");
    }

    pub(super) async fn sessions_are_listed_in_pages(driver: &dyn Driver) {
        for n in [3, 1, 2, 5, 4] {
            drop(create(driver, n, 1, &format!("k/{n}")).await.unwrap());
        }
        let mut found = Vec::new();
        let mut start_after = String::new();
        loop {
            let query = UploadQuery { start_after, limit: 2, idle_since: None };
            let page = driver.list_uploads(&query).await.unwrap();
            found.extend(page.entries.iter().map(|upload| upload.id.clone()));
            if !page.more {
                break;
            }
            start_after = found.last().unwrap().to_string();
        }
        assert_eq!(found, [1, 2, 3, 4, 5].map(id));
        let since = |idle_since| UploadQuery { start_after: String::new(), limit: 9, idle_since };
        let hour = Duration::from_secs(3600);
        let idle = driver.list_uploads(&since(Some(SystemTime::now() - hour))).await.unwrap();
        assert!(idle.entries.is_empty());
        let idle = driver.list_uploads(&since(Some(SystemTime::now() + hour))).await.unwrap();
        assert_eq!(idle.entries.len(), 5);
    }

    pub(super) async fn draining_makes_marks_durable(driver: &dyn Driver) {
        let (_, mut stream) = create(driver, 1, 1, "a").await.unwrap();
        write(&mut stream, "abc").await;
        stream.mark(bytes("three"), false).await.unwrap();
        assert_eq!(driver.drain(Duration::from_secs(5)).await.unwrap(), 1);
        let upload = driver.get_upload(&id(1)).await.unwrap();
        assert_eq!((upload.durable, upload.bookmark), (3, bytes("three")));
    }

    pub(super) async fn marks_are_made_durable_by_themselves_after_enough_bytes(driver: &dyn Driver) {
        let (_, mut stream) = create(driver, 1, 1, "a").await.unwrap();
        let piece = noise(1024 * 1024);
        for n in 1..=32_u64 {
            stream.write(piece.clone()).await.unwrap();
            let ack = stream.mark(Bytes::from(n.to_string()), false).await.unwrap();
            let expected = if n == 32 { 32 * 1024 * 1024 } else { 0 };
            assert_eq!(ack.durable, expected, "after {n} MiB");
        }
        assert_eq!(driver.get_upload(&id(1)).await.unwrap().bookmark, bytes("32"));
    }

    pub(super) async fn a_zero_byte_upload_is_an_object(driver: &dyn Driver) {
        let (_, mut stream) = create(driver, 1, 1, "a").await.unwrap();
        stream.commit(0, Bytes::new()).await.unwrap();
        assert_eq!(driver.stat(&key("a")).await.unwrap().size, 0);
        assert_eq!(read_all(driver, &key("a")).await.unwrap(), b"");
    }

    /// Every writer resumes where it is told and writes its own pieces; whoever commits, the object is one writer's
    /// pieces behind another's, each at the place it was meant for.
    pub(super) async fn of_many_writers_at_once_one_stays(driver: &dyn Driver) {
        drop(create(driver, 1, 1, "a").await.unwrap());
        let rivals = (2..34_u64).map(|counter| async move {
            let Ok((upload, mut stream)) = resume(driver, 1, counter).await else { return false };
            let mut at = upload.durable;
            while at < 40_000 {
                let piece: Bytes = (at..at + 1000).map(|n| (n % 251) as u8).collect();
                if stream.write(piece).await.is_err() {
                    return false;
                }
                at += 1000;
                if at % 5000 == 0 && stream.mark(Bytes::from(at.to_string()), true).await.is_err() {
                    return false;
                }
            }
            stream.commit(40_000, bytes("e")).await.is_ok()
        });
        let outcomes = futures_util::future::join_all(rivals).await;
        if !outcomes.contains(&true) {
            // Each may have been evicted by the next; the last of them may have come first and finished nothing.
            let (upload, mut stream) = resume(driver, 1, 99).await.unwrap();
            let rest: Bytes = (upload.durable..40_000).map(|n| (n % 251) as u8).collect();
            stream.write(rest).await.unwrap();
            stream.commit(40_000, bytes("e")).await.unwrap();
        }
        let expected: Vec<u8> = (0..40_000_u64).map(|n| (n % 251) as u8).collect();
        assert!(read_all(driver, &key("a")).await.unwrap() == expected);
    }
}
