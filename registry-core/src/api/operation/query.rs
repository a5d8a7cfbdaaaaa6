//! What stands behind the `?` of a URL: its parameters, and of these the pages of lists.

use std::str::FromStr;

use super::RouteError;

/// The most entries of one page; larger numbers are cut to it.
pub const MAX_PAGE: usize = 1000;

/// Which part of a list: so many entries behind the last one of the page before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageWish<L> {
    pub limit: Option<Limit>,
    pub last: Option<L>,
}

/// `n`, and whether it was cut to [`MAX_PAGE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub entries: usize,
    pub cut: bool,
}

pub(super) fn page<L>(query: &Query) -> Result<PageWish<L>, RouteError>
where
    L: FromStr,
    RouteError: From<L::Err>,
{
    let limit = query.get("n").map(limit).transpose()?;
    let last = query.get("last").filter(|last| !last.is_empty()).map(str::parse).transpose()?;
    Ok(PageWish { limit, last })
}

/// A number too large for any page is the largest page; what is no number is refused.
fn limit(text: &str) -> Result<Limit, RouteError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return Err(RouteError::PageSize(text.chars().take(40).collect()));
    }
    let wanted = text.parse::<usize>().unwrap_or(usize::MAX);
    Ok(Limit { entries: wanted.min(MAX_PAGE), cut: wanted > MAX_PAGE })
}

/// The parameters of a URL, decoded.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let split = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        // A '+' stands for itself here, not for a space: media types have it, and no value of this API has a space.
        Self(split.map(|(name, value)| (decode(name), decode(value))).collect())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Percent-decoded; what does not decode to UTF-8 fits no grammar, and stays as it is to be shown.
pub(super) fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
}
