//! Signature version 4 of S3, for the tests' own look into a bucket. curl has it too, but old ones leave out the header
//! x-amz-content-sha256 that S3 asks for.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use super::Implementation;

const BLOCK: usize = 64;
const DAY: u64 = 86_400;

#[derive(Clone, Debug)]
pub struct Credentials {
    pub access_key: String,
    pub secret_key: String,
    pub region: String,
}

impl Credentials {
    /// Swift's are an account with its user, and that user's password; Garage takes none but those of its own form.
    pub(super) fn for_tests(implementation: Implementation) -> Self {
        let of_garage = ("GK0123456789abcdef01234567", "0123456789abcdef".repeat(4));
        let (access_key, secret_key) = match implementation {
            Implementation::Swift => ("test:tester", "testing".to_owned()),
            Implementation::Garage => of_garage,
            Implementation::Versitygw | Implementation::Rgw | Implementation::Minio => {
                ("testkey", "testsecret".to_owned())
            }
        };
        let region = "us-east-1".to_owned();
        Self { access_key: access_key.to_owned(), secret_key, region }
    }

    /// The headers that sign a request for `target`, a path and a query as they go on the wire.
    pub fn sign(
        &self,
        method: &str,
        endpoint: &str,
        target: &str,
        body: &[u8],
    ) -> [(&'static str, String); 3] {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
        let (date, time) = (date(now), time(now));
        let content = hex(&Sha256::digest(body));
        let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let signed = "host;x-amz-content-sha256;x-amz-date";
        let headers = format!("host:{host}\nx-amz-content-sha256:{content}\nx-amz-date:{time}\n");
        let request = format!("{method}\n{path}\n{}\n{headers}\n{signed}\n{content}", sorted(query));
        let scope = format!("{date}/{}/s3/aws4_request", self.region);
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(&request)));
        let mut key = format!("AWS4{}", self.secret_key).into_bytes();
        for part in [date.as_str(), &self.region, "s3", "aws4_request"] {
            key = hmac(&key, part.as_bytes()).to_vec();
        }
        let signature = hex(&hmac(&key, text.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}",
            self.access_key
        );
        [("authorization", authorization), ("x-amz-content-sha256", content), ("x-amz-date", time)]
    }
}

/// Percent-encoded as signatures want it: all but the unreserved characters, and slashes where they divide a path.
pub fn encode(text: &str, keep_slashes: bool) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            b'/' if keep_slashes => encoded.push('/'),
            _ => write!(encoded, "%{byte:02X}").expect("a string takes everything"),
        }
    }
    encoded
}

/// What `encode` and others have encoded.
pub(crate) fn decode(text: &str) -> String {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok()).filter(|_| *first == b'%');
        decoded.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The canonical query: its parameters in order, each with a `=`.
fn sorted(query: &str) -> String {
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let mut parameters: Vec<String> = parameters
        .map(|parameter| if parameter.contains('=') { parameter.to_owned() } else { format!("{parameter}=") })
        .collect();
    parameters.sort();
    parameters.join("&")
}

/// RFC 2104.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `2013-05-24T00:00:00Z`
pub fn rfc3339(seconds: u64) -> String {
    let (date, rest) = (date(seconds), seconds % DAY);
    let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
    format!("{year}-{month}-{day}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// `20130524T000000Z`
fn time(seconds: u64) -> String {
    let rest = seconds % DAY;
    format!("{}T{:02}{:02}{:02}Z", date(seconds), rest / 3600, rest / 60 % 60, rest % 60)
}

/// `20130524`
fn date(seconds: u64) -> String {
    let leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let (mut year, mut days) = (1970, seconds / DAY);
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year:04}{month:02}{:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(time(0), "19700101T000000Z");
        assert_eq!(time(951_827_696), "20000229T123456Z");
        assert_eq!(date(1_735_689_599), "20241231");
        assert_eq!(date(1_735_689_600), "20250101");
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let name = "a b/+&%é:@=?x%4";
        assert_eq!(decode(&encode(name, true)), name);
        assert_eq!(decode("100%"), "100%");
    }

    #[test]
    fn hmac_is_that_of_rfc_4231_case_2() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&hmac(b"Jefe", b"what do ya want for nothing?")), expected);
    }
}
