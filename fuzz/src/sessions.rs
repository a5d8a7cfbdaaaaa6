//! What an upload session must be after a write stream, found from what was sent and what was answered (contract section
//! U), without a look at how the driver does it.

use longshore_driver_proto::v1;
use longshore_driver_proto::v1::write_stream_request::Msg;
use longshore_driver_proto::v1::write_stream_response::Msg as Said;
use longshore_driver_sdk::{Driver, Key, UploadId, UploadState};
use prost::Message as _;
use tonic::Code;

use crate::grpc::{Answer, split};

const MAX_CHUNK: usize = 256 * 1024;
const MAX_BOOKMARK: usize = 4096;

/// A session, as the core may expect it to be.
#[derive(Debug, Default)]
pub struct Model {
    key: String,
    content: Vec<u8>,
    /// Offset and bookmark of each mark: what is durable is one of these (contract clause U8).
    marks: Vec<(u64, Vec<u8>)>,
    committed: bool,
}

/// The end of a stream, as it should be.
#[derive(Debug, PartialEq, Eq)]
enum Ends {
    /// Nothing is wrong with what was sent.
    Well,
    /// Something is.
    Refused,
}

impl Model {
    /// Follows one stream. False: it was not even opened.
    pub fn follow(&mut self, sent: &[u8], answer: &Answer) -> bool {
        let said: Vec<v1::WriteStreamResponse> = answer.messages();
        let code = answer.code().expect("every write stream ends with a status");
        let mut said = said.into_iter().map(|message| message.msg.expect("no answer is empty"));
        let Some(first) = said.next() else {
            assert_ne!(code, Code::Ok, "a stream without an answer ended well");
            return false;
        };
        let Said::Opened(upload) = first else { panic!("the first answer is {first:?}") };
        let messages = decoded(sent);
        let Some(Some(Msg::Open(open))) = messages.first() else { panic!("opened without open") };
        self.opened(open, &upload);
        let before = upload.durable;
        let (ends, commit) = self.send(&messages[1..]);
        let committed = self.answered(before, said, commit);
        assert_eq!(
            ends == Ends::Well && commit.is_none() || committed,
            code == Code::Ok,
            "{code:?} {ends:?}"
        );
        true
    }

    fn opened(&mut self, open: &v1::WriteOpen, upload: &v1::Upload) {
        assert_eq!(upload.upload_id, open.upload_id);
        if let Some(v1::write_open::Mode::Create(create)) = &open.mode {
            assert_eq!((&upload.key, upload.durable), (&create.key, 0));
            assert_eq!(upload.state(), v1::UploadState::Open);
            if self.key.is_empty() {
                self.marks = vec![(0, create.bookmark.to_vec())];
            }
            self.key.clone_from(&create.key);
        }
        assert_eq!(upload.key, self.key, "the key of a session is fixed");
        self.check_durable(upload.durable, &upload.bookmark, upload.state() == v1::UploadState::Committed);
        // It goes on at the last durable mark (contract clause U3).
        self.content.truncate(upload.durable as usize);
        self.marks.retain(|(offset, _)| *offset <= upload.durable);
    }

    fn check_durable(&self, durable: u64, bookmark: &[u8], committed: bool) {
        assert_eq!(committed, self.committed);
        if !committed {
            let marked = self.marks.iter().any(|(offset, mark)| (*offset, &mark[..]) == (durable, bookmark));
            assert!(marked, "{durable} is durable with a bookmark of {} bytes: no mark", bookmark.len());
        }
    }

    /// Takes in what was sent up to the first message that breaks the contract, and says what size was to be committed.
    fn send(&mut self, messages: &[Option<Msg>]) -> (Ends, Option<u64>) {
        for message in messages {
            let received = self.content.len() as u64;
            match message {
                Some(Msg::Chunk(chunk)) => {
                    let damaged = chunk.crc32c.is_some_and(|sum| sum != crc32c::crc32c(&chunk.data));
                    if chunk.offset != received || chunk.data.len() > MAX_CHUNK || damaged {
                        return (Ends::Refused, None);
                    }
                    if self.committed && !chunk.data.is_empty() {
                        return (Ends::Refused, None);
                    }
                    self.content.extend_from_slice(&chunk.data);
                }
                Some(Msg::Mark(mark)) => {
                    if mark.offset != received || mark.bookmark.len() > MAX_BOOKMARK || self.committed {
                        return (Ends::Refused, None);
                    }
                    self.marks.push((mark.offset, mark.bookmark.to_vec()));
                }
                Some(Msg::Commit(commit)) if commit.bookmark.len() <= MAX_BOOKMARK => {
                    return (Ends::Well, Some(commit.size));
                }
                _ => return (Ends::Refused, None),
            }
        }
        (Ends::Well, None)
    }

    /// Whether a commit was answered.
    fn answered(&mut self, mut durable: u64, said: impl Iterator<Item = Said>, commit: Option<u64>) -> bool {
        let mut committed = false;
        for said in said {
            assert!(!committed, "something was said after a commit");
            match said {
                Said::Opened(_) => panic!("opened twice"),
                Said::Progress(_) => panic!("progress of a store in memory"),
                Said::Ack(ack) => {
                    assert!(durable <= ack.durable && ack.durable <= ack.received, "{ack:?} after {durable}");
                    assert!(
                        self.marks.iter().any(|(offset, _)| *offset == ack.durable),
                        "{ack:?} is no mark"
                    );
                    durable = ack.durable;
                }
                Said::Committed(upload) => {
                    assert_eq!(commit, Some(upload.durable), "committed another size than was named");
                    assert_eq!(upload.durable, self.content.len() as u64);
                    assert_eq!(upload.state(), v1::UploadState::Committed);
                    self.committed = true;
                    committed = true;
                }
            }
        }
        committed
    }

    /// Holds the driver's session, and the object, against what they must be.
    pub async fn check(&self, driver: &dyn Driver, id: &UploadId) {
        let Ok(upload) = driver.get_upload(id).await else {
            return assert!(self.key.is_empty(), "a session is gone that nobody ended");
        };
        assert_eq!(upload.key.as_str(), self.key);
        self.check_durable(upload.durable, &upload.bookmark, upload.state == UploadState::Committed);
        let key = Key::parse(&self.key).expect("a session has a key");
        if self.committed {
            let (object, content) = driver.get(&key).await.expect("what was committed is there");
            assert_eq!(object.size, self.content.len() as u64);
            assert!(content == self.content, "an object is not what was sent");
        }
    }

    /// Whether the key of this session has an object of its own.
    pub fn is_committed(&self) -> bool {
        self.committed
    }

    /// Whether something was marked, beyond the session's beginning.
    pub fn has_marks(&self) -> bool {
        self.marks.len() > 1
    }

    pub fn key(&self) -> &str {
        &self.key
    }
}

/// The messages of a body, up to what is none; `None` at the end for that.
fn decoded(sent: &[u8]) -> Vec<Option<Msg>> {
    let mut messages = Vec::new();
    for message in split(sent).0 {
        match v1::WriteStreamRequest::decode(message) {
            Ok(v1::WriteStreamRequest { msg: Some(msg) }) => messages.push(Some(msg)),
            _ => {
                messages.push(None);
                break;
            }
        }
    }
    messages
}
