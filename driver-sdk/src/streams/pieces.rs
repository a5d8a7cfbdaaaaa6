//! The two messages that carry the bytes of blobs, put on the wire and taken from it without a copy of these bytes:
//! tonic's codecs copy each message into a buffer of their own at both ends (docs/adr/0020). The wire is the same.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use longshore_driver_proto::v1;
use prost::encoding::{
    DecodeContext, WireType, check_wire_type, decode_key, decode_varint, encode_key, encode_varint,
    encoded_len_varint,
};
use prost::{DecodeError, Message};

/// Of `WriteStreamRequest.chunk`.
const CHUNK: u32 = 2;
/// Of `WriteChunk.data`.
const CHUNK_DATA: u32 = 2;
/// Of `ReadStreamResponse.data`.
const PIECE_DATA: u32 = 3;
/// gRPC's prefix of a message: a flag for compression, and the length.
pub(crate) const PREFIX: usize = 5;

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a message that can't be decoded: {0}")]
    Field(#[from] DecodeError),
    #[error("a message that can't be decoded: a field is longer than its message")]
    TooLong,
}

/// A message as it goes out: what precedes the data, and the data.
pub(crate) type Framed = [Bytes; 2];

/// Any message that carries no piece.
pub(crate) fn frame(message: &impl Message) -> Framed {
    [framed(message, None, 0, 0), Bytes::new()]
}

/// A message of an upload.
pub(crate) fn frame_write(message: v1::WriteStreamRequest) -> Framed {
    match message.msg {
        Some(v1::write_stream_request::Msg::Chunk(mut chunk)) => {
            let data = std::mem::take(&mut chunk.data);
            [framed(&chunk, Some(CHUNK), CHUNK_DATA, data.len()), data]
        }
        _ => frame(&message),
    }
}

/// A piece of an object that is read.
pub(crate) fn frame_read(mut piece: v1::ReadStreamResponse) -> Framed {
    let data = std::mem::take(&mut piece.data);
    [framed(&piece, None, PIECE_DATA, data.len()), data]
}

/// Everything but the data, which is the last field: the order of fields is free.
fn framed(fields: &impl Message, outer: Option<u32>, data_tag: u32, data: usize) -> Bytes {
    let mut inner = fields.encode_to_vec();
    if data > 0 {
        encode_key(data_tag, WireType::LengthDelimited, &mut inner);
        encode_varint(data as u64, &mut inner);
    }
    let length = inner.len() + data;
    let around = outer.map_or(0, |_| 1 + encoded_len_varint(length as u64));
    let mut out = BytesMut::with_capacity(PREFIX + around + inner.len());
    out.put_u8(0);
    // No message comes near 4 GiB (rule R6).
    out.put_u32(u32::try_from(around + length).unwrap_or(u32::MAX));
    if let Some(tag) = outer {
        encode_key(tag, WireType::LengthDelimited, &mut out);
        encode_varint(length as u64, &mut out);
    }
    out.extend_from_slice(&inner);
    out.freeze()
}

/// Takes in a message of an upload; the data of a chunk comes beside it, as it lay in the buffers of the connection.
pub(crate) fn take_write(bytes: &mut Rope) -> Result<(v1::WriteStreamRequest, Vec<Bytes>), Malformed> {
    use v1::write_stream_request::Msg;
    let (mut message, mut data) = (v1::WriteStreamRequest::default(), Vec::new());
    while bytes.has_remaining() {
        let (tag, wire) = decode_key(bytes)?;
        if tag == CHUNK {
            let mut inner = take_field(bytes, wire)?;
            // A chunk that comes in parts is merged, as in every decoder; one behind another message begins anew.
            let mut chunk = match message.msg.take() {
                Some(Msg::Chunk(chunk)) => chunk,
                _ => {
                    data.clear();
                    v1::WriteChunk::default()
                }
            };
            take_fields(&mut chunk, CHUNK_DATA, &mut inner, &mut data)?;
            message.msg = Some(Msg::Chunk(chunk));
        } else {
            message.merge_field(tag, wire, bytes, DecodeContext::default())?;
        }
    }
    Ok((message, data))
}

/// Takes in a piece of an object; its data comes beside it.
pub(crate) fn take_read(bytes: &mut Rope) -> Result<(v1::ReadStreamResponse, Vec<Bytes>), Malformed> {
    let (mut piece, mut data) = (v1::ReadStreamResponse::default(), Vec::new());
    take_fields(&mut piece, PIECE_DATA, bytes, &mut data)?;
    Ok((piece, data))
}

/// All fields, the data beside the others.
fn take_fields(
    fields: &mut impl Message,
    data_tag: u32,
    bytes: &mut Rope,
    data: &mut Vec<Bytes>,
) -> Result<(), Malformed> {
    while bytes.has_remaining() {
        let (tag, wire) = decode_key(bytes)?;
        if tag == data_tag {
            // Of a field that is there twice the last one counts, as in every decoder.
            *data = take_field(bytes, wire)?.parts.into();
        } else {
            fields.merge_field(tag, wire, bytes, DecodeContext::default())?;
        }
    }
    Ok(())
}

fn take_field(bytes: &mut Rope, wire: WireType) -> Result<Rope, Malformed> {
    check_wire_type(WireType::LengthDelimited, wire)?;
    let length = decode_varint(bytes)?;
    match usize::try_from(length) {
        Ok(length) if length <= bytes.remaining() => Ok(bytes.split_to(length)),
        _ => Err(Malformed::TooLong),
    }
}

/// Whether data is not what its checksum was made of; one that is not there says nothing.
pub(crate) fn is_damaged(data: &[Bytes], crc32c: Option<u32>) -> bool {
    let sum = || data.iter().fold(0, |sum, part| crc32c::crc32c_append(sum, part));
    crc32c.is_some_and(|expected| expected != sum())
}

/// Bytes as the connection brought them, one buffer after the other.
#[derive(Debug, Default)]
pub(crate) struct Rope {
    parts: VecDeque<Bytes>,
    length: usize,
}

impl Rope {
    /// Appends.
    pub(crate) fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.length += part.len();
            self.parts.push_back(part);
        }
    }

    /// Cuts off the first `length` bytes, or all if there are less.
    #[must_use]
    pub(crate) fn split_to(&mut self, length: usize) -> Self {
        let mut head = Self::default();
        while head.length < length {
            let Some(mut part) = self.parts.pop_front() else { break };
            let rest = part.split_off(part.len().min(length - head.length));
            self.length -= part.len();
            head.push(part);
            if !rest.is_empty() {
                self.parts.push_front(rest);
            }
        }
        head
    }
}

impl Buf for Rope {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map_or(&[], |part| part)
    }

    fn advance(&mut self, count: usize) {
        drop(self.split_to(count));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Cut wherever the connection may have cut it.
    fn rope(mut bytes: Bytes, cuts: &[usize]) -> Rope {
        let mut rope = Rope::default();
        for cut in cuts {
            rope.push(bytes.split_to(bytes.len().min(*cut)));
        }
        rope.push(bytes);
        rope
    }

    fn message(framed: &Framed) -> Bytes {
        let whole = framed.concat();
        let length = u32::from_be_bytes(whole[1..PREFIX].try_into().unwrap());
        assert_eq!((whole[0], length as usize), (0, whole.len() - PREFIX));
        Bytes::copy_from_slice(&whole[PREFIX..])
    }

    fn any_write() -> impl Strategy<Value = v1::WriteStreamRequest> {
        use v1::write_stream_request::Msg;
        let bytes = || proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
        let msg = prop_oneof![
            (any::<u64>(), bytes(), any::<Option<u32>>())
                .prop_map(|(offset, data, crc32c)| Msg::Chunk(v1::WriteChunk { offset, data, crc32c })),
            (any::<u64>(), bytes(), any::<bool>())
                .prop_map(|(offset, bookmark, flush)| Msg::Mark(v1::WriteMark { offset, bookmark, flush })),
            (any::<u64>(), bytes())
                .prop_map(|(size, bookmark)| Msg::Commit(v1::WriteCommit { size, bookmark })),
        ];
        proptest::option::of(msg).prop_map(|msg| v1::WriteStreamRequest { msg })
    }

    proptest! {
        #[test]
        fn prost_reads_what_is_framed_here(write in any_write()) {
            let decoded = v1::WriteStreamRequest::decode(message(&frame_write(write.clone())));
            prop_assert_eq!(decoded.unwrap(), write);
        }

        #[test]
        fn what_prost_writes_is_taken_in_wherever_it_was_cut(
            write in any_write(), cuts in proptest::collection::vec(0_usize..100, 0..8)
        ) {
            let mut bytes = rope(write.encode_to_vec().into(), &cuts);
            let (mut taken, data) = take_write(&mut bytes).unwrap();
            if let Some(v1::write_stream_request::Msg::Chunk(chunk)) = &mut taken.msg {
                chunk.data = data.concat().into();
            }
            prop_assert_eq!(taken, write);
        }

        #[test]
        fn a_piece_that_is_read_arrives_as_it_was_sent(
            offset in any::<u64>(), crc32c in any::<Option<u32>>(), key in proptest::option::of(".{0,20}"),
            data in proptest::collection::vec(any::<u8>(), 0..300),
            cuts in proptest::collection::vec(0_usize..100, 0..8)
        ) {
            let object = key.map(|key| v1::Object { key, ..Default::default() });
            let piece = v1::ReadStreamResponse { object, offset, data: data.into(), crc32c };
            let sent = message(&frame_read(piece.clone()));
            prop_assert_eq!(&v1::ReadStreamResponse::decode(sent.clone()).unwrap(), &piece);
            let (mut taken, data) = take_read(&mut rope(sent, &cuts)).unwrap();
            taken.data = data.concat().into();
            prop_assert_eq!(taken, piece);
        }

        #[test]
        fn rubbish_is_refused_or_taken_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let whole: Bytes = bytes.into();
            let expected = v1::WriteStreamRequest::decode(whole.clone()).is_ok();
            prop_assert_eq!(take_write(&mut rope(whole.clone(), &[3])).is_ok(), expected);
            let expected = v1::ReadStreamResponse::decode(whole.clone()).is_ok();
            prop_assert_eq!(take_read(&mut rope(whole, &[3])).is_ok(), expected);
        }
    }

    #[test]
    fn a_chunk_that_comes_in_parts_is_merged_and_one_behind_a_mark_begins_anew() {
        use v1::write_stream_request::Msg;
        let of = |msg| v1::WriteStreamRequest { msg: Some(msg) }.encode_to_vec();
        let head = of(Msg::Chunk(v1::WriteChunk { offset: 5, crc32c: Some(7), ..Default::default() }));
        let data = of(Msg::Chunk(v1::WriteChunk { data: "some data".into(), ..Default::default() }));
        let mark = of(Msg::Mark(v1::WriteMark { offset: 9, ..Default::default() }));
        for parts in [[&head, &data], [&data, &head], [&data, &data]] {
            let bytes = Bytes::from(parts.map(Vec::as_slice).concat());
            let (taken, data) = take_write(&mut rope(bytes.clone(), &[3])).unwrap();
            let Some(Msg::Chunk(chunk)) = taken.msg else { panic!("no chunk") };
            let whole = Msg::Chunk(v1::WriteChunk { data: data.concat().into(), ..chunk });
            assert_eq!(v1::WriteStreamRequest::decode(bytes).unwrap().msg, Some(whole));
        }
        let bytes = Bytes::from([data, mark, head].concat());
        let (taken, data) = take_write(&mut rope(bytes.clone(), &[3])).unwrap();
        assert_eq!(taken, v1::WriteStreamRequest::decode(bytes).unwrap());
        assert!(data.is_empty());
    }

    #[test]
    fn data_is_not_copied() {
        let data = Bytes::from(vec![7; 100_000]);
        let mut bytes = Rope::default();
        let framed = frame_read(v1::ReadStreamResponse { data: data.clone(), ..Default::default() });
        bytes.push(framed[0].slice(PREFIX..));
        bytes.push(framed[1].clone());
        let (_, taken) = take_read(&mut bytes).unwrap();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].as_ptr(), data.as_ptr());
    }
}
