//! The codec of every call: prost's, but a message reserves its exact size before it is encoded. tonic's own grows an
//! 8 KiB buffer step by step, which for pieces of 256 KiB costs more than the copy itself.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Encodes `T`, decodes `U`.
#[derive(Debug, Clone)]
pub struct PieceCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for PieceCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for PieceCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = PieceEncoder<T>;
    type Decoder = PieceDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        PieceEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        PieceDecoder(PhantomData)
    }
}

/// See [`PieceCodec`].
#[derive(Debug)]
pub struct PieceEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for PieceEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.encoded_len());
        item.encode(buffer).map_err(|error| Status::internal(format!("cannot encode a message: {error}")))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

/// See [`PieceCodec`].
#[derive(Debug)]
pub struct PieceDecoder<U>(PhantomData<U>);

impl<U: Message + Default> Decoder for PieceDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        U::decode(buffer)
            .map(Some)
            .map_err(|error| Status::internal(format!("cannot decode a message: {error}")))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
