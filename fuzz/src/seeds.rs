//! Writes the seeds: a few inputs for each target that get past the first checks, so that a run begins behind the door.
//! They are committed; run this after a target has changed how it reads its input.

use std::io;
use std::path::Path;

use longshore_driver_proto::v1;
use longshore_fuzz::fake;
use longshore_fuzz::requests::{IDS, KEYS};
use longshore_fuzz::script::Writer;
use prost::Message as _;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn main() -> io::Result<()> {
    texts()?;
    ranges()?;
    manifests()?;
    operations()?;
    messages()?;
    pieces()?;
    write_sessions()?;
    answers()?;
    calls()
}

/// One seed, numbered.
fn write(target: &str, number: usize, content: &[u8]) -> io::Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join(format!("{number:02}")), content)
}

fn write_all<S: AsRef<[u8]>>(target: &str, seeds: &[S]) -> io::Result<()> {
    seeds.iter().enumerate().try_for_each(|(number, seed)| write(target, number, seed.as_ref()))
}

fn texts() -> io::Result<()> {
    let long = format!("sha512:{}", "a1".repeat(64));
    write_all("digest", &[DIGEST, &long, "sha256:abc", "blake3:00", "sha256"])?;
    write_all(
        "registry_names",
        &["team/app", "a.b/c_d/e__f-g---h", "latest", "1.0-rc_2", DIGEST, "A/b", "a..b"],
    )?;
    let names = ["a/b", ".driverless/x", ".driver/store-id", "a/", "unix:///run/x.sock", "tcp://[::1]:7000"];
    write_all("driver_names", &names)?;
    write("driver_names", names.len(), IDS[0].as_bytes())
}

fn ranges() -> io::Result<()> {
    let seed = |size: u64, text: &str| [Writer::default().number(size).finish(), text.into()].concat();
    let seeds = [
        seed(200, "bytes=5-14"),
        seed(4000, "bytes=500-"),
        seed(u64::MAX, "bytes=-18446744073709551615"),
        seed(0, "bytes=0-0"),
        seed(10, "0-9"),
        seed(10, "bytes 0-9/*"),
    ];
    write_all("ranges", &seeds)
}

fn manifests() -> io::Result<()> {
    let descriptor = format!(r#"{{"mediaType":"application/octet-stream","digest":"{DIGEST}","size":1}}"#);
    let foreign = descriptor.replace("octet-stream", "vnd.docker.image.rootfs.foreign.diff.tar.gzip");
    let image = format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[{descriptor},{foreign}]}}"#);
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{descriptor}]}}"#
    );
    let artifact = format!(
        r#"{{"schemaVersion":2,"artifactType":"a/b","subject":{descriptor},"annotations":{{"a":"b"}},"config":{descriptor},"layers":[]}}"#
    );
    let seed = |choice: u8, text: &str| [&[choice], text.as_bytes()].concat();
    let own = Writer::default().byte(6).bytes(b"application/vnd.example+json").finish();
    let seeds = [
        seed(0, &image),
        seed(2, &image),
        seed(7, &index),
        seed(0, &artifact),
        [own, artifact.into_bytes()].concat(),
    ];
    write_all("manifest", &seeds)
}

fn operations() -> io::Result<()> {
    let id = IDS[0];
    let seeds = [
        (0, "/v2/".to_owned()),
        (0, format!("/v2/a/b/blobs/{DIGEST}")),
        (5, format!("/v2/a/manifests/{DIGEST}")),
        (2, "/v2/a/manifests/latest?tag=a&tag=b".to_owned()),
        (3, format!("/v2/a/blobs/uploads/?mount={DIGEST}&from=b&digest-algorithm=sha512")),
        (4, format!("/v2/a/blobs/uploads/{id}")),
        (2, format!("/v2/a/blobs/uploads/{id}?digest={DIGEST}")),
        (0, "/v2/a/tags/list?n=5&last=x".to_owned()),
        (0, format!("/v2/a/referrers/{DIGEST}?artifactType=a/b%2bc&n=9999&last={DIGEST}")),
        (0, "/v2/_catalog?n=1&last=a/b".to_owned()),
        (0, "/v2/_oci/ext/discover".to_owned()),
        (3, "/v2/a/_longshore/content/availability".to_owned()),
        (1, "/metrics".to_owned()),
    ];
    let seeds: Vec<Vec<u8>> =
        seeds.iter().map(|(method, uri)| [&[*method], uri.as_bytes()].concat()).collect();
    write_all("operation", &seeds)
}

fn object() -> v1::Object {
    let modified = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 1 });
    v1::Object { key: "a/b".to_owned(), size: 3, etag: "e".to_owned(), modified }
}

fn upload() -> v1::Upload {
    v1::Upload {
        upload_id: IDS[0].to_owned(),
        state: v1::UploadState::Committed.into(),
        key: "a/b".to_owned(),
        durable: 3,
        bookmark: b"bookmark".as_slice().into(),
        fence: Some(v1::Fence { counter: 1, owner: "a".to_owned() }),
        mark_every: 5,
        updated: Some(prost_types::Timestamp { seconds: -5, nanos: 5 }),
        object: Some(object()),
    }
}

/// `google.rpc.Status` with an `ErrorInfo` and a `RetryInfo`, as any driver in any language may send it.
fn details(reason: &str, metadata: &[(&str, &str)], retry_seconds: i64) -> Vec<u8> {
    let field = |tag: u8, bytes: &[u8]| [&[tag << 3 | 2, bytes.len() as u8], bytes].concat();
    let any = |name: &str, value: &[u8]| {
        let url = format!("type.googleapis.com/google.rpc.{name}");
        field(3, &[field(1, url.as_bytes()), field(2, value)].concat())
    };
    let mut info = [field(1, reason.as_bytes()), field(2, b"longshore.driver.v1")].concat();
    for (name, value) in metadata {
        info.extend(field(3, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat()));
    }
    let delay = prost_types::Duration { seconds: retry_seconds, nanos: 0 }.encode_to_vec();
    [any("ErrorInfo", &info), any("RetryInfo", &field(1, &delay))].concat()
}

fn messages() -> io::Result<()> {
    let entry = v1::Entry { is: Some(v1::entry::Is::CommonPrefix("a/".to_owned())) };
    let hello = v1::HandshakeResponse {
        capabilities: Some(v1::Capabilities {
            durability: 3,
            range_read: true,
            r#move: 1,
            ..Default::default()
        }),
        ..fake::hello()
    };
    let probe = v1::ProbeResponse { state: 1, reason: "r".to_owned(), bytes_free: Some(5) };
    let status = |code: u8, details: &[u8]| {
        [Writer::default().byte(code).bytes(b"a sentence").finish(), details.to_vec()].concat()
    };
    let mismatch = details("OFFSET_MISMATCH", &[("received", "7"), ("durable", "5")], 1);
    let seeds = [
        (0, object().encode_to_vec()),
        (1, entry.encode_to_vec()),
        (2, upload().encode_to_vec()),
        (3, probe.encode_to_vec()),
        (4, v1::Fence { counter: 1, owner: "a".to_owned() }.encode_to_vec()),
        (5, hello.encode_to_vec()),
        (6, prost_types::Duration { seconds: 5, nanos: 7 }.encode_to_vec()),
        (7, status(11, &mismatch)),
        (7, status(11, &details("OFFSET_PAST_END", &[("size", "7")], 0))),
        (7, status(5, &details("KEY_NOT_FOUND", &[], 0))),
        (7, status(14, &[])),
    ];
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|(choice, seed)| [&[*choice], &seed[..]].concat()).collect();
    write_all("messages", &seeds)
}

fn pieces() -> io::Result<()> {
    use v1::write_stream_request::Msg;
    let data = || b"some data".as_slice().into();
    let of = |msg| v1::WriteStreamRequest { msg: Some(msg) }.encode_to_vec();
    let chunk = of(Msg::Chunk(v1::WriteChunk { offset: 5, data: data(), crc32c: Some(7) }));
    let mark = of(Msg::Mark(v1::WriteMark { offset: 5, bookmark: data(), flush: true }));
    let piece = v1::ReadStreamResponse { object: Some(object()), offset: 5, data: data(), crc32c: Some(7) };
    // A message that comes in parts is merged by every decoder.
    let parts = [of(Msg::Chunk(v1::WriteChunk { offset: 5, ..Default::default() })), chunk.clone()].concat();
    let parts = [parts, of(Msg::Chunk(v1::WriteChunk { data: data(), ..Default::default() }))].concat();
    let frames = [longshore_fuzz::grpc::frame(&chunk), longshore_fuzz::grpc::frame(&mark)].concat();
    let seed = |choice: u8, rest: &[u8]| {
        [Writer::default().byte(choice).bytes(&[3, 1, 2]).finish(), rest.to_vec()].concat()
    };
    // The end, and whether it is an answer.
    let framed = |end: u8, answer: u8| seed(2, &[&[end, answer], &frames[..]].concat());
    let seeds = [
        seed(0, &chunk),
        seed(0, &mark),
        seed(0, &parts),
        seed(1, &piece.encode_to_vec()),
        framed(0xfd, 0),
        framed(0, 1),
    ];
    write_all("pieces", &seeds)
}

/// As `requests::open` reads it: a create of the first key, or a resume, of the first id.
fn open(creates: bool, fence: u8) -> Writer {
    let writer = Writer::default();
    let writer = if creates { writer.byte(0).byte(1).byte(0).bytes(b"first") } else { writer.byte(4) };
    writer.byte(0).number(fence.into()).byte(1)
}

fn write_sessions() -> io::Result<()> {
    let chunk = |writer: Writer, length: u8| writer.byte(0).byte(7).byte(length).byte(1);
    let mark = |writer: Writer| writer.byte(7).byte(0).bytes(b"mark").byte(1);
    let commit = |writer: Writer| writer.byte(11).byte(0).bytes(b"done");
    // Cuts, and the end of the stream.
    let end = |writer: Writer| writer.bytes(&[3, 9]).byte(0).finish();
    let whole = end(commit(mark(chunk(open(true, 1).byte(0).byte(3), 20))));
    let begun = end(mark(chunk(open(true, 1).byte(0).byte(2), 20)));
    let resumed = end(commit(chunk(open(false, 2).byte(0).byte(2), 9)));
    let largest = end(commit(chunk(open(true, 1).byte(0).byte(2), 0xfe)));
    let seeds = [
        whole,
        [begun.clone(), resumed].concat(),
        [begun, end(open(false, 0).byte(0).byte(0))].concat(),
        largest,
    ];
    write_all("write_session", &seeds)
}

/// For the three targets of the core's side.
fn answers() -> io::Result<()> {
    let piece = |writer: Writer, data: &[u8]| writer.byte(0).bytes(data).byte(1);
    let first = Writer::default().number(0).byte(0).byte(0).byte(2).byte(0).number(9);
    // A well framed answer with trailers, cut in two.
    let read = piece(piece(first, b"some "), b"data").byte(0).byte(0).bytes(&[7]).finish();
    write("read_answer", 0, &read)?;
    let none = Writer::default().number(0).byte(0).byte(0).byte(1).byte(0).number(0).byte(12);
    write("read_answer", 1, &none.byte(0).byte(0).bytes(&[]).finish())?;
    // A create, a good end, a beginning at 0, opened; then bytes, a mark with its ack, and a commit.
    let opened = Writer::default().byte(1).byte(0).byte(0).byte(0);
    let begun = opened.byte(4).byte(0).byte(20).byte(4).byte(0).byte(0).byte(0).byte(9);
    write("write_answer", 0, &begun.byte(6).byte(0).finish())?;
    // A resume, and an ack that came early.
    let resumed = Writer::default().byte(0).byte(0).byte(0xff).number(5).byte(0).byte(2).byte(0).byte(20);
    write("write_answer", 1, &resumed.byte(4).byte(0).byte(0xf8).number(25).number(25).finish())?;
    for choice in 0..14 {
        let answer = Writer::default().byte(choice).byte(if choice == 13 { 0 } else { 1 });
        write(
            "unary_answer",
            choice.into(),
            &answer.byte(0).bytes(&[]).byte(0).byte(0).bytes(&[3]).finish(),
        )?;
    }
    // A refusal in trailers alone, and one that says when to come again.
    let refused =
        Writer::default().byte(0).byte(1).byte(1).bytes(&[]).byte(0).byte(0xfc).byte(8).bytes(b"slow");
    write("unary_answer", 14, &refused.bytes(&details("RATE_LIMITED", &[], 1)).bytes(&[]).finish())?;
    let never =
        Writer::default().byte(0).byte(1).byte(1).bytes(&[]).byte(0).byte(0xfc).byte(8).bytes(b"never");
    write("unary_answer", 15, &never.bytes(&details("RATE_LIMITED", &[], i64::MAX)).bytes(&[]).finish())
}

fn calls() -> io::Result<()> {
    // How the request ends, its cuts, its content type, its headers.
    let send = |writer: Writer| writer.byte(0).bytes(&[]).byte(0).byte(0);
    let put = |writer: Writer, key: u8| send(writer.byte(2).byte(0).byte(key).bytes(b"content"));
    let get = |writer: Writer, key: u8| send(writer.byte(1).byte(key));
    let read = |writer: Writer| send(writer.byte(7).byte(0).number(2).byte(1).number(3).byte(0));
    let list = |writer: Writer| send(writer.byte(6).byte(0).byte(1).byte(11).number(0));
    let hello =
        send(Writer::default().byte(0).byte(13).byte(1).number(1).number(0).bytes(b"1").bytes(b"i").byte(0));
    write("calls", 0, &list(read(get(put(hello, 0), 0))).finish())?;
    let delete = |writer: Writer| send(writer.byte(4).byte(1).byte(0).byte(0));
    let rename = |writer: Writer| send(writer.byte(5).byte(0).byte(5));
    write("calls", 1, &delete(rename(put(Writer::default().byte(0), 0))).finish())?;
    let uploads = |writer: Writer| send(writer.byte(10).byte(3).number(0).number(0));
    let ended = |writer: Writer| send(writer.byte(11).byte(0).number(5).byte(1));
    let create =
        Writer::default().byte(0).byte(8).byte(0).byte(1).byte(0).bytes(b"first").byte(0).number(1).byte(1);
    let written = send(create.byte(2).byte(0).byte(7).byte(9).byte(1).byte(7).byte(0).bytes(b"mark").byte(1));
    write("calls", 2, &ended(uploads(written)).finish())?;
    write("calls", 3, &Writer::default().byte(0xff).byte(1).finish())?;
    debug_assert_eq!(KEYS[0], "a");
    Ok(())
}
