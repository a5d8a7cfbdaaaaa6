//! Signed URLs (contract clause O12).

use std::time::{Duration, SystemTime};

use longshore_driver_proto::v1;

use crate::bed::Bed;
use crate::call::{answered, unsupported};
use crate::check;
use crate::check::Check;
use crate::verdict::{Failure, Verdict, ensure, equal, same_bytes};

pub(super) const CHECKS: &[Check] = &[
    check!("sign.url-serves-the-object", ["O12"], [], url_serves_the_object),
    check!("sign.url-serves-a-range", ["O12"], [], url_serves_a_range),
    check!("sign.url-serves-the-content-type", ["O12"], [], url_serves_the_content_type),
    check!("sign.url-for-head", ["O12"], [], url_for_head),
    check!("sign.says-when-it-expires", ["O12"], [], says_when_it_expires),
];

const TYPE: &str = "application/x-check";
const TTL: Duration = Duration::from_secs(300);

/// `None`: the driver gives no URL for this one, which it may. One that did not declare `sign_get` must refuse.
async fn sign(bed: &Bed, key: &str, head: bool) -> Verdict<Option<v1::SignResponse>> {
    let ttl = prost_types::Duration::try_from(TTL).ok();
    let request = v1::SignRequest { key: key.to_owned(), head, ttl, content_type: TYPE.to_owned() };
    let signed = bed.driver().await.sign(request).await;
    if !bed.capabilities().sign_get {
        unsupported("Sign, which was not declared", signed)?;
        return Ok(None);
    }
    let answer = answered("Sign", signed)?;
    Ok(Some(answer).filter(|answer| !answer.url.is_empty()))
}

fn client() -> Verdict<reqwest::Client> {
    let client = reqwest::Client::builder().no_proxy().timeout(crate::call::DEADLINE).build();
    client.map_err(|error| Failure::new("nothing", "an HTTP client", error))
}

fn failed(error: &reqwest::Error) -> Failure {
    Failure::new("GET of a signed URL, without credentials", "the object", error)
}

async fn put(bed: &Bed) -> Verdict<(String, Vec<u8>)> {
    let (key, content) = (bed.key("signed"), (0..200_000).map(|at| (at % 251) as u8).collect::<Vec<_>>());
    answered("Put", bed.driver().await.put_key(&key, content.clone()).await)?;
    Ok((key, content))
}

async fn url_serves_the_object(bed: &Bed) -> Verdict {
    let (key, content) = put(bed).await?;
    let Some(signed) = sign(bed, &key, false).await? else { return Ok(()) };
    let answer = client()?.get(&signed.url).send().await.map_err(|error| failed(&error))?;
    equal("GET of a signed URL: status", &200, &answer.status().as_u16())?;
    let body = answer.bytes().await.map_err(|error| failed(&error))?;
    same_bytes("GET of a signed URL", &content, &body)
}

async fn url_serves_a_range(bed: &Bed) -> Verdict {
    let (key, content) = put(bed).await?;
    let Some(signed) = sign(bed, &key, false).await? else { return Ok(()) };
    let answer = client()?.get(&signed.url).header("Range", "bytes=1000-1999").send().await;
    let answer = answer.map_err(|error| failed(&error))?;
    equal("GET of a signed URL with a range: status", &206, &answer.status().as_u16())?;
    let body = answer.bytes().await.map_err(|error| failed(&error))?;
    same_bytes("GET of a signed URL with a range", &content[1000..2000], &body)
}

async fn url_serves_the_content_type(bed: &Bed) -> Verdict {
    let (key, _) = put(bed).await?;
    let Some(signed) = sign(bed, &key, false).await? else { return Ok(()) };
    let answer = client()?.get(&signed.url).send().await.map_err(|error| failed(&error))?;
    let got = answer.headers().get("content-type").and_then(|got| got.to_str().ok());
    equal("GET of a URL that was signed with a content type: Content-Type", &Some(TYPE), &got)
}

async fn url_for_head(bed: &Bed) -> Verdict {
    let (key, content) = put(bed).await?;
    let Some(signed) = sign(bed, &key, true).await? else { return Ok(()) };
    let answer = client()?.head(&signed.url).send().await.map_err(|error| failed(&error))?;
    equal("HEAD of a signed URL: status", &200, &answer.status().as_u16())?;
    let length = answer.headers().get("content-length").and_then(|length| length.to_str().ok());
    equal("HEAD of a signed URL: Content-Length", &Some(content.len().to_string().as_str()), &length)
}

async fn says_when_it_expires(bed: &Bed) -> Verdict {
    let (key, _) = put(bed).await?;
    let begin = SystemTime::now();
    let Some(signed) = sign(bed, &key, false).await? else { return Ok(()) };
    let expires = signed.expires.and_then(|time| SystemTime::try_from(time).ok());
    let expires = expires.ok_or_else(|| Failure::new("Sign", "`expires` beside a URL", "none"))?;
    // Clocks of the two ends may differ by a minute (contract clause H11).
    let slack = Duration::from_secs(60);
    ensure(
        expires > begin && expires < begin + TTL + 2 * slack,
        "Sign with a ttl of 300 s",
        "a URL that lives as long",
        format!("expires {expires:?}, asked at {begin:?}"),
    )
}
