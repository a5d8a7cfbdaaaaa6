//! The socket and what is on it (contract section T).

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use futures_util::future::join_all;
use longshore_driver_proto::v1;
use longshore_driver_sdk::endpoint::Endpoint;
use tonic::metadata::MetadataValue;

use crate::bed::Bed;
use crate::call::{Said, answered, timely};
use crate::check;
use crate::check::Check;
use crate::connection::{Connection, Windows};
use crate::verdict::{Failure, Verdict, ensure, equal, same_bytes};

pub(super) const CHECKS: &[Check] = &[
    check!("transport.socket-is-private", ["T2"], [Unix], socket_is_private),
    check!("transport.folder-is-not-for-everyone", ["T2"], [Unix], folder_is_not_for_everyone),
    check!("transport.endpoint-again-after-a-kill", ["T2", "T1"], [Restart], endpoint_again_after_a_kill),
    check!("transport.many-connections", ["T4"], [], many_connections),
    check!("transport.connections-come-and-go", ["T4", "D3"], [], connections_come_and_go),
    check!("transport.no-message-too-long", ["T6"], [], no_message_too_long),
    check!("transport.message-too-long-is-survived", ["T6"], [], message_too_long_is_survived),
    check!("transport.large-windows-of-slow-streams", ["T5", "R18"], [], large_windows_of_slow_streams),
    check!("transport.request-ids", ["T9"], [], request_ids),
];

fn socket(bed: &Bed) -> Verdict<std::path::PathBuf> {
    match &bed.target.endpoint {
        Endpoint::Unix(path) => Ok(path.clone()),
        Endpoint::Tcp(address) => Err(Failure::new("nothing", "a unix socket", address)),
    }
}

fn look(path: &std::path::Path) -> Verdict<std::fs::Metadata> {
    std::fs::symlink_metadata(path)
        .map_err(|error| Failure::new(format!("a look at {}", path.display()), "a file", error))
}

async fn socket_is_private(bed: &Bed) -> Verdict {
    let path = socket(bed)?;
    let found = look(&path)?;
    ensure(found.file_type().is_socket(), path.display(), "a socket", format!("{:?}", found.file_type()))?;
    let mode = found.mode() & 0o777;
    ensure(mode == 0o600 || mode == 0o660, path.display(), "mode 0600 or 0660", format!("{mode:04o}"))
}

async fn folder_is_not_for_everyone(bed: &Bed) -> Verdict {
    let path = socket(bed)?;
    let folder = path.parent().unwrap_or(&path);
    let mode = look(folder)?.mode() & 0o7777;
    ensure(
        mode & 0o002 == 0 || mode & 0o1000 != 0,
        folder.display(),
        "a folder that not everyone may write to, unless it is sticky",
        format!("{mode:04o}"),
    )
}

async fn endpoint_again_after_a_kill(bed: &Bed) -> Verdict {
    answered("Put", bed.driver().await.put_key(&bed.key("a"), "x").await)?;
    bed.restart().await?;
    answered("Get at the same endpoint after kill -9", bed.driver().await.get_key(&bed.key("a")).await)
        .map(drop)
}

async fn many_connections(bed: &Bed) -> Verdict {
    let mut connections = Vec::new();
    for _ in 0..16 {
        connections.push(Connection::open(&bed.target.endpoint, bed.target.trusted).await?.0);
    }
    let key = bed.key("a");
    answered("Put", bed.driver().await.put_key(&key, "x").await)?;
    for get in join_all(connections.iter().map(|connection| connection.get_key(&key))).await {
        same_bytes("Get on one of 16 connections", b"x", &answered("Get on one of 16 connections", get)?.1)?;
    }
    Ok(())
}

async fn connections_come_and_go(bed: &Bed) -> Verdict {
    for _ in 0..60 {
        let connection = bed.connect(Windows::default()).await?;
        let _ = connection.handshake_with(crate::connection::handshake()).await;
    }
    answered(
        "Put after 60 connections that came and went",
        bed.driver().await.put_key(&bed.key("a"), "x").await,
    )
    .map(drop)
}

async fn no_message_too_long(bed: &Bed) -> Verdict {
    const MOST: usize = 5 * 1024 * 1024;
    let (driver, key) = (bed.driver().await, bed.key("a"));
    let size = bed.limits().max_inline_bytes.min(4_259_840) as usize;
    answered("Put", driver.put_key(&key, vec![1; size]).await)?;
    let answer = answered("Get", driver.get(v1::GetRequest { key }).await)?;
    ensure(
        answer.content.len() < MOST,
        "Get of the largest object",
        "a message below 5 MiB",
        answer.content.len(),
    )?;
    ensure(
        (bed.limits().max_inline_bytes as usize) < MOST,
        "Handshake",
        "max_inline_bytes below 5 MiB, which no message passes",
        bed.limits().max_inline_bytes,
    )
}

/// However it is refused, the driver goes on.
async fn message_too_long_is_survived(bed: &Bed) -> Verdict {
    let other = bed.connect(Windows::default()).await?;
    let put = other.put_key(&bed.key("large"), vec![1; 8 << 20]).await;
    ensure(put.is_err(), "Put of 8 MiB in one message", "an error", "OK")?;
    let (driver, key) = (bed.driver().await, bed.key("a"));
    answered("Put after it", driver.put_key(&key, "x").await)?;
    equal("Get after it: bytes", &1, &answered("Get", driver.get_key(&key).await)?.1.len())
}

/// Streams that nobody reads must not use up the connection.
async fn large_windows_of_slow_streams(bed: &Bed) -> Verdict {
    let (key, content) = (bed.key("a"), super::uploads::pattern(3 << 20, 1));
    super::uploads::write(bed, &key, &content).await?;
    let driver = bed.driver().await;
    let mut writers = Vec::new();
    for number in 0..8 {
        let opened = driver
            .create_upload(&bed.upload_id(), &bed.key(&format!("w{number}")), crate::writer::fence(1))
            .await;
        let mut writer = answered("create", opened)?;
        writer.chunk(vec![1; 60_000]).await;
        writers.push(writer);
    }
    let mut reads = Vec::new();
    for _ in 0..12 {
        reads.push(answered(
            "ReadStream that nobody reads",
            driver.open_read(crate::reader::whole(&key)).await,
        )?);
    }
    let read =
        answered("ReadStream beside 12 that nobody reads, on one connection", driver.read_key(&key).await)?;
    same_bytes("ReadStream beside 12 that nobody reads", &content, &read)?;
    for mut writer in writers {
        answered("WriteCommit beside them", writer.commit().await)?;
    }
    Ok(())
}

async fn request_ids(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    answered("Put", driver.put_key(&key, "x").await)?;
    let long = "x".repeat(500);
    for id in ["abc.DEF-1_2", "with space", "", "a/b", long.as_str()] {
        let mut request = timely(v1::StatRequest { key: key.clone() });
        let value = MetadataValue::try_from(id)
            .map_err(|error| Failure::new(format!("x-request-id {id:?}"), "metadata", error))?;
        request.metadata_mut().insert("x-request-id", value);
        let short: String = id.chars().take(20).collect();
        answered(
            format!("Stat with x-request-id {short:?}"),
            Said::of(driver.storage.clone().stat(request).await),
        )?;
    }
    Ok(())
}
