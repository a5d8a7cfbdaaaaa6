//! WriteStream as a check uses it: message by message, with whatever order and content it likes.

use bytes::Bytes;
use longshore_driver_proto::v1;
use longshore_driver_proto::v1::write_stream_request::Msg;
use longshore_driver_proto::v1::write_stream_response::Msg as Answer;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::call::{Call, DEADLINE, Said, late};
use crate::connection::Connection;

/// How many messages wait unsent at most.
const QUEUE: usize = 4;

/// One write stream.
pub struct Writer {
    messages: Option<mpsc::Sender<v1::WriteStreamRequest>>,
    answers: Streaming<v1::WriteStreamResponse>,
    /// What `opened` said; empty before.
    pub opened: v1::Upload,
    /// Where the next chunk of [`Self::chunk`] goes.
    pub offset: u64,
    /// What was told last of bytes that went on to the backend; `None`: nothing may be told (contract clause U22).
    moved: Option<u64>,
}

impl Connection {
    /// A stream on which nothing was said yet but `first`.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn write_stream(&self, first: Msg) -> Call<Writer> {
        let (messages, queue) = mpsc::channel(QUEUE);
        let moved = matches!(&first, Msg::Open(open) if open.progress).then_some(0);
        let _ = messages.send(v1::WriteStreamRequest { msg: Some(first) }).await;
        let call = self.storage.clone();
        let begun = async move { call.clone().write_stream(ReceiverStream::new(queue)).await };
        let answers = tokio::time::timeout(DEADLINE, begun).await;
        let answers = Said::of(answers.unwrap_or_else(|_| Err(late("the head of the answer"))))?;
        Ok(Writer { messages: Some(messages), answers, opened: v1::Upload::default(), offset: 0, moved })
    }

    /// Opens a session, and waits for `opened`.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn open_upload(&self, open: v1::WriteOpen) -> Call<Writer> {
        let mut writer = self.write_stream(Msg::Open(open)).await?;
        match writer.next().await? {
            Some(Answer::Opened(upload)) => {
                writer.offset = upload.durable;
                writer.opened = upload;
                Ok(writer)
            }
            other => Err(unexpected("opened", &other)),
        }
    }

    /// Creates a session for a key.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn create_upload(&self, id: &str, key: &str, fence: v1::Fence) -> Call<Writer> {
        self.open_upload(create(id, key, fence, b"")).await
    }

    /// Resumes a session.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn resume_upload(&self, id: &str, fence: v1::Fence) -> Call<Writer> {
        self.open_upload(resume(id, fence)).await
    }

    /// The durable state of a session.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn upload(&self, id: &str) -> Call<v1::Upload> {
        let answer = self.get_upload(v1::GetUploadRequest { upload_id: id.to_owned() }).await?;
        Ok(answer.upload.unwrap_or_default())
    }

    /// Ends a session, and says whether there was one.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn end(&self, id: &str, fence: v1::Fence) -> Call<bool> {
        let request = v1::EndUploadRequest { upload_id: id.to_owned(), fence: Some(fence) };
        self.end_upload(request).await.map(|answer| answer.existed)
    }
}

/// A message that creates a session.
pub fn create(id: &str, key: &str, fence: v1::Fence, bookmark: &[u8]) -> v1::WriteOpen {
    let create = v1::write_open::Create {
        key: key.to_owned(),
        size_hint: None,
        bookmark: Bytes::copy_from_slice(bookmark),
    };
    v1::WriteOpen {
        upload_id: id.to_owned(),
        fence: Some(fence),
        mode: Some(v1::write_open::Mode::Create(create)),
        progress: true,
    }
}

/// A message that resumes a session.
pub fn resume(id: &str, fence: v1::Fence) -> v1::WriteOpen {
    let mode = Some(v1::write_open::Mode::Resume(v1::write_open::Resume {}));
    v1::WriteOpen { upload_id: id.to_owned(), fence: Some(fence), mode, progress: true }
}

/// Of writer number `counter`.
pub fn fence(counter: u64) -> v1::Fence {
    v1::Fence { counter, owner: "check".to_owned() }
}

impl Writer {
    /// Sends any message. A stream that the driver ended takes none: its answer tells why.
    pub async fn send(&mut self, msg: Msg) {
        self.send_raw(v1::WriteStreamRequest { msg: Some(msg) }).await;
    }

    /// Sends even an empty one.
    pub async fn send_raw(&mut self, message: v1::WriteStreamRequest) {
        if let Some(messages) = &self.messages {
            let _ = tokio::time::timeout(DEADLINE, messages.send(message)).await;
        }
    }

    /// Appends bytes, in one chunk.
    pub async fn chunk(&mut self, data: impl Into<Bytes>) {
        let data = data.into();
        let offset = self.offset;
        self.offset += data.len() as u64;
        self.send(Msg::Chunk(v1::WriteChunk { offset, data, crc32c: None })).await;
    }

    /// Appends bytes, in chunks of at most `size`.
    pub async fn chunks(&mut self, data: &[u8], size: usize) {
        for piece in data.chunks(size) {
            self.chunk(Bytes::copy_from_slice(piece)).await;
        }
    }

    /// Marks the present offset.
    pub async fn mark(&mut self, bookmark: &[u8], flush: bool) {
        let mark = v1::WriteMark { offset: self.offset, bookmark: Bytes::copy_from_slice(bookmark), flush };
        self.send(Msg::Mark(mark)).await;
    }

    /// Marks the present offset, and waits until it is durable.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn flush(&mut self, bookmark: &[u8]) -> Call<v1::WriteAck> {
        self.mark(bookmark, true).await;
        loop {
            match self.next().await? {
                Some(Answer::Ack(ack)) if ack.durable < self.offset => {}
                Some(Answer::Ack(ack)) => return Ok(ack),
                other => return Err(unexpected("an ack", &other)),
            }
        }
    }

    /// Commits at this size, and waits for the answer.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn commit_at(&mut self, size: u64, bookmark: &[u8]) -> Call<v1::Upload> {
        self.send(Msg::Commit(v1::WriteCommit { size, bookmark: Bytes::copy_from_slice(bookmark) })).await;
        loop {
            match self.next().await? {
                Some(Answer::Ack(_)) => {}
                Some(Answer::Committed(upload)) => return Ok(upload),
                other => return Err(unexpected("committed", &other)),
            }
        }
    }

    /// Commits what was sent.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn commit(&mut self) -> Call<v1::Upload> {
        self.commit_at(self.offset, b"").await
    }

    /// The next answer that is no sign of life; `None`: the driver ended the stream with OK.
    ///
    /// # Errors
    /// What the driver said; DEADLINE_EXCEEDED without a reason if nothing came.
    pub async fn next(&mut self) -> Call<Option<Answer>> {
        loop {
            match self.next_of_all().await? {
                Some(Answer::Progress(progress)) => self.note(&progress)?,
                other => return Ok(other),
            }
        }
    }

    /// Only to those who asked, and none with less than the one before (contract clause U22).
    fn note(&mut self, progress: &v1::WriteProgress) -> Call<()> {
        match self.moved {
            Some(before) if progress.moved >= before => {
                self.moved = Some(progress.moved);
                Ok(())
            }
            Some(before) => Err(said(&format!("progress told {} bytes after {before}", progress.moved))),
            None => Err(said("progress was told to one who did not ask for it")),
        }
    }

    async fn next_of_all(&mut self) -> Call<Option<Answer>> {
        let next = tokio::time::timeout(DEADLINE, self.answers.message()).await;
        let next = next.unwrap_or_else(|_| Err(late("the next answer of the write stream")));
        next.map(|answer| answer.and_then(|answer| answer.msg)).map_err(|status| Said::from(&status))
    }

    /// Ends this side of the stream, and waits until the driver has ended the other: the session is at rest then.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn close(mut self) -> Call<()> {
        self.messages = None;
        while self.next().await?.is_some() {}
        Ok(())
    }

    /// Waits for the driver to end the stream with an error, and gives it.
    ///
    /// # Errors
    /// What happened instead, as words.
    pub async fn fails(&mut self) -> Result<Said, String> {
        loop {
            match self.next().await {
                Err(said) => return Ok(said),
                Ok(Some(Answer::Ack(_))) => {}
                Ok(None) => return Err("the stream ended with OK".to_owned()),
                Ok(Some(other)) => return Err(format!("{other:?}")),
            }
        }
    }
}

fn unexpected(wanted: &str, got: &Option<Answer>) -> Said {
    let got =
        got.as_ref().map_or_else(|| "the end of the stream with OK".to_owned(), |got| format!("{got:?}"));
    said(&format!("{wanted} was awaited, and {got} came"))
}

fn said(what: &str) -> Said {
    Said::from(&Status::unknown(what))
}
