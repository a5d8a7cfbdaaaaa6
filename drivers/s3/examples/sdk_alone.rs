//! What the AWS SDK reaches by itself: one multipart upload from memory, then one GET. `cargo xtask bench s3` compares core
//! and driver with it. It leaves out what a store needs: digests, records, checksums.
//!
//!     sdk_alone ENDPOINT BUCKET MEBIBYTES MEBIBYTES_OF_A_PART PARTS_AT_ONCE
//!
//! prints the seconds of the push and those of the pull.

use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const KEY: &str = "sdk-alone";
const USAGE: &str = "sdk_alone ENDPOINT BUCKET MEBIBYTES MEBIBYTES_OF_A_PART PARTS_AT_ONCE";

#[derive(Clone)]
struct Bucket {
    client: Client,
    name: String,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, name, size, part, at_once] = words.as_slice() else { return Err(USAGE.into()) };
    let (size, part) = (size.parse::<usize>()? << 20, part.parse::<usize>()? << 20);
    let bucket = Bucket { client: client(endpoint).await, name: name.clone() };
    // Every part has other bytes, and was touched before the clock runs.
    let bytes = Bytes::from(noise(size));

    let began = Instant::now();
    bucket.push(&bytes, part, at_once.parse()?).await?;
    let push = began.elapsed();
    drop(bytes);
    let began = Instant::now();
    let pulled = bucket.pull().await?;
    let pull = began.elapsed();
    if pulled != size {
        return Err(format!("{pulled} bytes came back of {size}").into());
    }
    writeln!(std::io::stdout(), "{} {}", push.as_secs_f64(), pull.as_secs_f64())?;
    Ok(())
}

/// As the driver has it.
async fn client(endpoint: &str) -> Client {
    let http = aws_smithy_http_client::Builder::new();
    let http = http.tls_provider(tls::Provider::rustls(CryptoMode::AwsLc)).build_https();
    let region = std::env::var("AWS_REGION").unwrap_or_else(|_| "us-east-1".to_owned());
    let loader =
        aws_config::defaults(BehaviorVersion::latest()).http_client(http).region(Region::new(region));
    let config = aws_sdk_s3::config::Builder::from(&loader.load().await)
        .endpoint_url(endpoint)
        .force_path_style(true)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    Client::from_conf(config.build())
}

impl Bucket {
    async fn push(&self, bytes: &Bytes, part: usize, at_once: usize) -> Outcome<()> {
        let made = self.client.create_multipart_upload().bucket(&self.name).key(KEY).send().await?;
        let upload = made.upload_id().ok_or("no upload id")?.to_owned();
        let parts = (0..bytes.len().div_ceil(part)).map(|number| {
            let range = number * part..bytes.len().min((number + 1) * part);
            tokio::spawn(self.clone().push_part(upload.clone(), number, bytes.slice(range)))
        });
        let sent = stream::iter(parts).buffered(at_once).map(|joined| joined?).try_collect().await?;
        let parts = CompletedMultipartUpload::builder().set_parts(Some(sent)).build();
        let complete = self.client.complete_multipart_upload().bucket(&self.name).key(KEY);
        complete.upload_id(upload).multipart_upload(parts).send().await?;
        Ok(())
    }

    async fn push_part(self, upload: String, index: usize, bytes: Bytes) -> Outcome<CompletedPart> {
        let number = i32::try_from(index + 1)?;
        let request = self.client.upload_part().bucket(&self.name).key(KEY).upload_id(upload);
        let request = request.part_number(number).body(ByteStream::from(bytes)).customize();
        let sent = request.disable_payload_signing().send().await?;
        Ok(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag().map(str::to_owned)).build())
    }

    /// Reads all of it, and keeps nothing.
    async fn pull(&self) -> Outcome<usize> {
        let mut body = self.client.get_object().bucket(&self.name).key(KEY).send().await?.body;
        let mut length = 0;
        while let Some(piece) = body.try_next().await? {
            length += piece.len();
        }
        Ok(length)
    }
}

/// Bytes that look random.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let words = (0..length.div_ceil(8)).flat_map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_le_bytes()
    });
    words.take(length).collect()
}
