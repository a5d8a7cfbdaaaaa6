//! The requests that the driver makes of a bucket, by names below the prefix. Owns what goes into each, and how an answer
//! is read. What a failure means is [`crate::failure`]'s.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier,
    ServerSideEncryption, StorageClass,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use longshore_driver_sdk::backend::{Listed, Listing};
use longshore_driver_sdk::sessions::parted::Content;
use longshore_driver_sdk::{DriverError, Moved, Reason, Result, SignRequest, SignedUrl, UploadId};

use crate::body;
use crate::client::{self, Clients};
use crate::config::{Config, Encryption};
use crate::credentials::Current;
use crate::failure::{self, Failure};

/// Which upload session made an object: so that a commit whose answer was lost is known again.
const MADE_BY: &str = "longshore-upload";
/// The last bookmark of that session, where no record has it.
const BOOKMARK: &str = "longshore-bookmark";
/// S3 takes 2 KiB of such data, names and base64 included.
pub(crate) const LONGEST_BOOKMARK: usize = 1024;
/// A request takes so many keys.
pub(crate) const BATCH: usize = 1000;
/// Where each takes one of its own.
const AT_ONCE: usize = 16;

/// versitygw removes folders that a deletion leaves empty, and if a new object needs one at that moment, it says that the
/// object's own name is a folder's. Asked again, it makes the folders again; where the name is a folder's, it is so each time.
const CLASHES: u32 = 5;
const CLASH: Duration = Duration::from_millis(20);

/// No object ends there.
const FARTHEST: u64 = 1 << 50;

/// What the server told of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) size: u64,
    pub(crate) etag: Option<String>,
    pub(crate) modified: Option<SystemTime>,
    /// The upload session that made it.
    pub(crate) made_by: Option<String>,
    /// The bookmark that it was made with.
    pub(crate) bookmark: Option<Bytes>,
}

impl Found {
    /// Whether this upload session made it.
    pub(crate) fn is_of(&self, id: &UploadId) -> bool {
        self.made_by.as_deref() == Some(id.as_str())
    }
}

/// An object's bytes as they come.
pub(crate) struct Got {
    pub(crate) found: Found,
    pub(crate) body: ByteStream,
}

/// When a write may happen, as the server is to see to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Guard {
    None,
    IfAbsent,
    /// The header's text, as this server wants it.
    IfMatch(String),
}

/// A part that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Part {
    pub(crate) number: u32,
    pub(crate) size: u64,
    pub(crate) etag: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) crc32c: Option<String>,
}

/// A bucket, and how new objects are to lie in it.
pub(crate) struct Bucket {
    inner: Client,
    public: Client,
    credentials: Current,
    name: String,
    prefix: String,
    storage_class: Option<StorageClass>,
    encryption: Option<ServerSideEncryption>,
    kms_key: Option<String>,
}

type Outcome<T> = std::result::Result<T, Failure>;

impl Bucket {
    pub(crate) fn new(clients: Clients, config: &Config) -> Self {
        Self {
            inner: clients.inner,
            public: clients.public,
            credentials: clients.credentials,
            name: config.bucket.clone(),
            prefix: config.prefix(),
            storage_class: config.storage_class.as_deref().map(StorageClass::from),
            encryption: config.sse.map(|sse| match sse {
                Encryption::Aes256 => ServerSideEncryption::Aes256,
                Encryption::Kms => ServerSideEncryption::AwsKms,
            }),
            kms_key: config.sse_kms_key.clone(),
        }
    }

    /// For messages: bucket and prefix.
    pub(crate) fn place(&self) -> String {
        format!("{}/{}", self.name, self.prefix)
    }

    /// With a key of KMS they are something else, and differ for equal bytes.
    pub(crate) fn etags_are_md5(&self) -> bool {
        self.encryption != Some(ServerSideEncryption::AwsKms)
    }

    /// Why a request failed. Who is refused looks for other credentials.
    fn failure<E>(&self, what: &str, error: &SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let failure = failure::of(what, error);
        if failure.is_about_credentials() {
            self.credentials.refused();
        }
        failure
    }

    /// The answer to a request with a body, unless that does not go on.
    async fn going_on<T, E>(
        &self,
        what: &str,
        moved: &Moved,
        sending: impl Future<Output = std::result::Result<T, SdkError<E, HttpResponse>>>,
    ) -> Outcome<T>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        tokio::select! {
            biased;
            sent = sending => sent.map_err(|error| self.failure(what, &error)),
            () = moved.stands_still(client::STILL) => Err(Failure::Other(failure::timed_out(what))),
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// What there is, or `None`. It asks for the first byte, because the answer to HEAD has no body, and so could not tell
    /// a missing key from a missing bucket (rule R5).
    pub(crate) async fn stat(&self, name: &str) -> Result<Option<Found>> {
        match self.get_range(name, Some("bytes=0-0".to_owned())).await {
            Ok(got) => Ok(Some(got.found)),
            Err(Failure::Absent) => Ok(None),
            // It is there, and has no first byte.
            Err(Failure::Range) => {
                let answer = self.head(name).await?;
                Ok(Some(Found {
                    size: size(answer.content_length()),
                    etag: etag(answer.e_tag()),
                    modified: answer.last_modified().and_then(time),
                    made_by: made_by(answer.metadata()),
                    bookmark: bookmark(answer.metadata()),
                }))
            }
            Err(other) => Err(other.into_error(&format!("look at {name}"))),
        }
    }

    async fn head(&self, name: &str) -> Result<HeadObjectOutput> {
        let sent = self.inner.head_object().bucket(&self.name).key(self.key(name)).send().await;
        let what = format!("HEAD {name}");
        sent.map_err(|error| self.failure(&what, &error).into_error(&what))
    }

    /// Whether an object lies as `sse` wants it: RGW 16 takes `AES256`, and encrypts nothing.
    pub(crate) async fn is_encrypted(&self, name: &str) -> Result<bool> {
        let Some(wanted) = &self.encryption else { return Ok(true) };
        Ok(self.head(name).await?.server_side_encryption() == Some(wanted))
    }

    /// Bytes from an offset, at most so many; all of them without either.
    pub(crate) async fn get(&self, name: &str, offset: u64, length: Option<u64>) -> Outcome<Got> {
        // Servers count in signed numbers; a range to beyond those is one to the end.
        let last = length.map(|length| offset.saturating_add(length - 1)).filter(|last| *last < FARTHEST);
        let range = match (offset, last) {
            (0, None) => None,
            (_, None) => Some(format!("bytes={offset}-")),
            (_, Some(last)) => Some(format!("bytes={offset}-{last}")),
        };
        self.get_range(name, range).await
    }

    async fn get_range(&self, name: &str, range: Option<String>) -> Outcome<Got> {
        let request = self.inner.get_object().bucket(&self.name).key(self.key(name));
        let sent = request.set_range(range).send().await;
        let answer = sent.map_err(|error| self.failure(&format!("GET {name}"), &error))?;
        let found = Found {
            size: whole_size(&answer),
            etag: etag(answer.e_tag()),
            modified: answer.last_modified().and_then(time),
            made_by: made_by(answer.metadata()),
            bookmark: bookmark(answer.metadata()),
        };
        Ok(Got { found, body: answer.body })
    }

    /// Writes an object whole.
    pub(crate) async fn put(
        &self,
        name: &str,
        content: Content,
        guard: &Guard,
        more: Extra<'_>,
    ) -> Outcome<Found> {
        let mut left = CLASHES;
        loop {
            match self.put_once(name, content.clone(), guard, more).await {
                Err(Failure::Other(error)) if error.reason() == Reason::KeyConflict && left > 0 => left -= 1,
                outcome => return outcome,
            }
            tokio::time::sleep(CLASH).await;
        }
    }

    async fn put_once(&self, name: &str, content: Content, guard: &Guard, more: Extra<'_>) -> Outcome<Found> {
        let what = format!("PUT {name}");
        let (size, moved) = (content.len(), content.moved.clone());
        let mut patience = client::patience(&content);
        let sum = more.sum(&what, &content)?;
        let mut request = self
            .inner
            .put_object()
            .bucket(&self.name)
            .key(self.key(name))
            .set_storage_class(self.storage_class.clone())
            .set_server_side_encryption(self.encryption.clone())
            .set_ssekms_key_id(self.kms_key.clone())
            .set_checksum_crc32_c(sum)
            .content_length(size.cast_signed())
            .body(body::stream(content));
        request = match guard {
            Guard::None => request,
            Guard::IfAbsent => request.if_none_match("*"),
            Guard::IfMatch(etag) => request.if_match(etag),
        };
        if let Some(upload) = more.made_by {
            request = request.metadata(MADE_BY, upload);
        }
        if let Some(bookmark) = more.bookmark {
            request = request.metadata(BOOKMARK, BASE64.encode(bookmark));
        }
        if *guard != Guard::None {
            // Tried again, it would meet what it wrote itself.
            patience = patience.retry_config(RetryConfig::disabled());
        }
        let sending = request.customize().disable_payload_signing().config_override(patience).send();
        let answer = self.going_on(&what, &moved, sending).await?;
        Ok(Found {
            size,
            etag: etag(answer.e_tag()),
            modified: None,
            made_by: more.made_by.map(str::to_owned),
            bookmark: more.bookmark.cloned(),
        })
    }

    /// Writes a few bytes under a sum that need not be theirs: for finding out whether the server looks.
    pub(crate) async fn put_with_sum(&self, name: &str, text: &'static str, sum: u32) -> Outcome<()> {
        let request = self.inner.put_object().bucket(&self.name).key(self.key(name));
        let request = request.checksum_crc32_c(BASE64.encode(sum.to_be_bytes()));
        let sent = request.body(ByteStream::from_static(text.as_bytes())).send().await;
        sent.map(drop).map_err(|error| self.failure(&format!("PUT {name}"), &error))
    }

    pub(crate) async fn delete(&self, name: &str, if_match: Option<&str>) -> Outcome<()> {
        let request = self.inner.delete_object().bucket(&self.name).key(self.key(name));
        let sent = request.set_if_match(if_match.map(str::to_owned)).send().await;
        sent.map(drop).map_err(|error| self.failure(&format!("DELETE {name}"), &error))
    }

    /// Deletes up to [`BATCH`] names, by one request where that may be; what can't be deleted comes back.
    pub(crate) async fn delete_all(&self, names: &[String]) -> Result<Vec<(String, DriverError)>> {
        match self.delete_batch(names).await {
            // RGW asks a policy about the bucket then, and not about its objects.
            Err(error) if error.reason() == Reason::BackendCredentials => Ok(self.delete_each(names).await),
            outcome => outcome,
        }
    }

    async fn delete_each(&self, names: &[String]) -> Vec<(String, DriverError)> {
        let deletes = stream::iter(names.to_vec()).map(|name| async move {
            match self.delete(&name, None).await {
                Ok(()) | Err(Failure::Absent) => None,
                Err(other) => {
                    let error = other.into_error(&format!("DELETE {name}"));
                    Some((name, error))
                }
            }
        });
        deletes.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await
    }

    async fn delete_batch(&self, names: &[String]) -> Result<Vec<(String, DriverError)>> {
        let what = format!("DELETE of {} objects", names.len());
        let failed = |error: aws_sdk_s3::error::BuildError| {
            DriverError::new(Reason::DriverBug, format!("{what}: {error}"))
        };
        let objects: std::result::Result<Vec<_>, _> =
            names.iter().map(|name| ObjectIdentifier::builder().key(self.key(name)).build()).collect();
        let delete = Delete::builder()
            .set_objects(Some(objects.map_err(failed)?))
            .quiet(true)
            .build()
            .map_err(failed)?;
        // Swift's S3 API wants a digest of the list, and knows MD5 alone; AWS takes any checksum.
        let request = self.inner.delete_objects().bucket(&self.name).delete(delete);
        let sent = request
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .customize()
            // Some servers delete one after the other.
            .config_override(client::patience_for_assembly())
            .interceptor(Md5OfBody)
            .send()
            .await;
        let answer = sent.map_err(|error| self.failure(&what, &error).into_error(&what))?;
        let refused = answer.errors().iter().filter_map(|error| {
            let name = error.key()?.strip_prefix(&self.prefix)?.to_owned();
            let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
            match failure::of_one(&format!("DELETE {name}"), code, message) {
                Failure::Absent => None,
                other => Some((name.clone(), other.into_error(&format!("DELETE {name}")))),
            }
        });
        Ok(refused.collect())
    }

    /// Names below a prefix that sort behind a text; one level of them, or all.
    pub(crate) async fn list(
        &self,
        prefix: &str,
        one_level: bool,
        start_after: &str,
        most: usize,
    ) -> Result<Listing<Found>> {
        let after = (!start_after.is_empty()).then(|| self.key(start_after));
        let sent = self
            .inner
            .list_objects_v2()
            .bucket(&self.name)
            .prefix(self.key(prefix))
            .set_delimiter(one_level.then(|| "/".to_owned()))
            .set_start_after(after)
            .max_keys(i32::try_from(most.clamp(1, BATCH)).unwrap_or(1))
            .send()
            .await;
        let what = format!("LIST {prefix}");
        let answer = sent.map_err(|error| match self.failure(&what, &error) {
            // Some servers call a bucket that is not there so.
            Failure::Absent => {
                DriverError::new(Reason::BackendUnavailable, format!("{what}: the bucket does not exist"))
            }
            other => other.into_error(&what),
        })?;
        let objects = answer.contents().iter().filter_map(|object| {
            let found = Found {
                size: size(object.size()),
                etag: etag(object.e_tag()),
                modified: object.last_modified().and_then(time),
                made_by: None,
                bookmark: None,
            };
            Some(Listed { name: object.key()?.strip_prefix(&self.prefix)?.to_owned(), found: Some(found) })
        });
        let folders = answer.common_prefixes().iter().filter_map(|folder| {
            Some(Listed { name: folder.prefix()?.strip_prefix(&self.prefix)?.to_owned(), found: None })
        });
        let mut entries: Vec<_> = objects.chain(folders).collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Listing { entries, more: answer.is_truncated().unwrap_or(false) })
    }

    pub(crate) async fn create_multipart(&self, name: &str, more: Extra<'_>) -> Result<String> {
        let what = format!("CreateMultipartUpload {name}");
        let mut request = self
            .inner
            .create_multipart_upload()
            .bucket(&self.name)
            .key(self.key(name))
            .set_storage_class(self.storage_class.clone())
            .set_server_side_encryption(self.encryption.clone())
            .set_ssekms_key_id(self.kms_key.clone())
            .set_checksum_algorithm(more.checksums.then_some(ChecksumAlgorithm::Crc32C));
        if let Some(upload) = more.made_by {
            request = request.metadata(MADE_BY, upload);
        }
        let answer = request.send().await.map_err(|error| self.failure(&what, &error).into_error(&what))?;
        let none = || DriverError::new(Reason::DriverBug, format!("{what}: the server gave no upload id"));
        answer.upload_id().map(str::to_owned).ok_or_else(none)
    }

    pub(crate) async fn put_part(
        &self,
        name: &str,
        multipart: &str,
        number: u32,
        content: Content,
        more: Extra<'_>,
    ) -> Outcome<Part> {
        let what = format!("UploadPart {number} of {name}");
        let (size, moved) = (content.len(), content.moved.clone());
        let patience = client::patience(&content);
        let sum = more.sum(&what, &content)?;
        let request = self
            .inner
            .upload_part()
            .bucket(&self.name)
            .key(self.key(name))
            .upload_id(multipart)
            .part_number(number.cast_signed())
            .set_checksum_crc32_c(sum.clone())
            .content_length(size.cast_signed())
            .body(body::stream(content));
        let sending = request.customize().disable_payload_signing().config_override(patience).send();
        let answer = self.going_on(&what, &moved, sending).await?;
        let none = || {
            Failure::Other(DriverError::new(Reason::DriverBug, format!("{what}: the server gave no ETag")))
        };
        Ok(Part { number, size, etag: etag(answer.e_tag()).ok_or_else(none)?, crc32c: sum })
    }

    /// Makes an object of exactly these parts, and gives its etag.
    pub(crate) async fn complete(
        &self,
        name: &str,
        multipart: &str,
        parts: &[Part],
        guard: &Guard,
    ) -> Outcome<Option<String>> {
        let parts = parts.iter().map(|part| {
            CompletedPart::builder()
                .part_number(part.number.cast_signed())
                .e_tag(format!("\"{}\"", part.etag))
                .set_checksum_crc32_c(part.crc32c.clone())
                .build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let request = self
            .inner
            .complete_multipart_upload()
            .bucket(&self.name)
            .key(self.key(name))
            .upload_id(multipart)
            .multipart_upload(parts)
            .set_if_none_match((*guard == Guard::IfAbsent).then(|| "*".to_owned()));
        let patience = client::patience_for_assembly();
        let sent = request.customize().config_override(patience).send().await;
        let answer =
            sent.map_err(|error| self.failure(&format!("CompleteMultipartUpload {name}"), &error))?;
        Ok(etag(answer.e_tag()))
    }

    /// One that is gone already is no error.
    pub(crate) async fn abort(&self, name: &str, multipart: &str) -> Result<()> {
        let request = self.inner.abort_multipart_upload().bucket(&self.name).key(self.key(name));
        match request.upload_id(multipart).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let what = format!("AbortMultipartUpload {name}");
                match self.failure(&what, &error) {
                    Failure::NoUpload | Failure::Absent => Ok(()),
                    other => Err(other.into_error(&what)),
                }
            }
        }
    }

    /// The multipart uploads for exactly this name: `MinIO` lists them by the whole key only.
    pub(crate) async fn multiparts_of(&self, name: &str) -> Result<Vec<String>> {
        let key = self.key(name);
        let sent = self.inner.list_multipart_uploads().bucket(&self.name).prefix(&key).send().await;
        let what = format!("ListMultipartUploads {name}");
        let answer = sent.map_err(|error| self.failure(&what, &error).into_error(&what))?;
        let uploads = answer.uploads().iter().filter(|upload| upload.key() == Some(&key));
        Ok(uploads.filter_map(|upload| upload.upload_id().map(str::to_owned)).collect())
    }

    /// A URL that needs no credentials; nothing is sent for it.
    pub(crate) async fn sign(&self, name: &str, request: &SignRequest) -> Result<SignedUrl> {
        let failed =
            |error: String| DriverError::new(Reason::BackendCredentials, format!("sign {name}: {error}"));
        let until = PresigningConfig::expires_in(request.ttl).map_err(|error| failed(error.to_string()))?;
        let expires = SystemTime::now() + request.ttl;
        let content_type = Some(request.content_type.clone()).filter(|text| !text.is_empty());
        let key = self.key(name);
        let signed = if request.head {
            let head = self.public.head_object().bucket(&self.name).key(key);
            head.set_response_content_type(content_type)
                .presigned(until)
                .await
                .map_err(|error| failed(error.to_string()))
        } else {
            let get = self.public.get_object().bucket(&self.name).key(key);
            get.set_response_content_type(content_type)
                .presigned(until)
                .await
                .map_err(|error| failed(error.to_string()))
        };
        Ok(SignedUrl { url: signed?.uri().to_owned(), expires })
    }
}

/// What goes along with an object besides its bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extra<'a> {
    pub(crate) made_by: Option<&'a str>,
    pub(crate) bookmark: Option<&'a Bytes>,
    pub(crate) checksums: bool,
}

impl Extra<'_> {
    fn sum(&self, what: &str, content: &Content) -> Outcome<Option<String>> {
        if !self.checksums {
            return Ok(None);
        }
        let sum = longshore_driver_sdk::backend::blocking(|| content.crc32c());
        let sum = sum.map_err(|error| {
            Failure::Other(DriverError::io(format!("{what}: cannot read back what was received"), error))
        })?;
        Ok(Some(BASE64.encode(sum.to_be_bytes())))
    }
}

/// `Content-MD5` of a request's body (RFC 1864): the one digest that every server takes with a list of keys.
#[derive(Debug)]
struct Md5OfBody;

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl aws_sdk_s3::config::Intercept for Md5OfBody {
    fn name(&self) -> &'static str {
        "Md5OfBody"
    }

    fn modify_before_signing(
        &self,
        context: &mut aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut<'_>,
        _: &aws_sdk_s3::config::RuntimeComponents,
        _: &mut aws_sdk_s3::config::ConfigBag,
    ) -> std::result::Result<(), aws_sdk_s3::error::BoxError> {
        use md5::Digest as _;
        let request = context.request_mut();
        if let Some(body) = request.body().bytes() {
            let digest = BASE64.encode(md5::Md5::digest(body));
            request.headers_mut().insert("content-md5", digest);
        }
        Ok(())
    }
}

type Metadata = std::collections::HashMap<String, String>;

fn made_by(metadata: Option<&Metadata>) -> Option<String> {
    metadata?.get(MADE_BY).cloned()
}

fn bookmark(metadata: Option<&Metadata>) -> Option<Bytes> {
    BASE64.decode(metadata?.get(BOOKMARK)?).ok().map(Bytes::from)
}

fn size(length: Option<i64>) -> u64 {
    length.and_then(|length| u64::try_from(length).ok()).unwrap_or(0)
}

/// Of the whole object, also when a range of it was asked for (RFC 9110 14.4).
fn whole_size(answer: &GetObjectOutput) -> u64 {
    let total = answer.content_range().and_then(|range| range.rsplit('/').next()?.parse().ok());
    total.unwrap_or_else(|| size(answer.content_length()))
}

/// Without its quotes: the servers differ in them.
fn etag(text: Option<&str>) -> Option<String> {
    text.map(|etag| etag.trim_matches('"').to_owned()).filter(|etag| !etag.is_empty())
}

fn time(stamp: &DateTime) -> Option<SystemTime> {
    SystemTime::try_from(*stamp).ok()
}
