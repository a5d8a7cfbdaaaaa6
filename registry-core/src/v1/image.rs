//! One image: what its files say, and what is wrong with them by themselves.

use serde::Deserialize;

use super::checksum::Check;
use super::damage::{Finding, What, shown};
use super::image_id::ImageId;

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) id: ImageId,
    /// Whether anything is there at all.
    pub(super) is_there: bool,
    pub(super) parent: Parent,
    /// Bytes of its layer, none where there is none.
    pub(super) bytes: u64,
    /// How many images its ancestry names, where it can be read.
    pub(super) ancestry: Option<usize>,
    pub(super) damage: Vec<Finding>,
    pub(super) notes: Vec<Finding>,
    pub(super) check: Check,
}

/// What its JSON says that it is built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parent {
    /// It is a root.
    Nothing,
    Image(ImageId),
    /// The JSON is not there, or can't be believed.
    Unknown,
}

impl Image {
    pub(super) fn new(id: ImageId, is_there: bool) -> Self {
        Self {
            id,
            is_there,
            parent: Parent::Unknown,
            bytes: 0,
            ancestry: None,
            damage: Vec::new(),
            notes: Vec::new(),
            check: Check::NotMade,
        }
    }

    pub(super) fn finding(&self, what: What, text: impl Into<String>) -> Finding {
        Finding::of(self.id, what, text)
    }
}

#[derive(Deserialize)]
struct Json {
    id: String,
    #[serde(default)]
    parent: Option<String>,
}

/// What an image's JSON says of its parent. The registry took no JSON without `id`, and an empty `parent` for none (docker-registry
/// 0.9.1, `images.py`, `put_image_json`).
pub(super) fn parent(id: ImageId, json: &[u8]) -> Result<Parent, Finding> {
    let unreadable =
        |why: String| Finding::of(id, What::JsonUnreadable, format!("its JSON can't be read: {why}"));
    let json: Json = serde_json::from_slice(json).map_err(|error| unreadable(shown(&error.to_string())))?;
    if json.id.parse() != Ok(id) {
        let text = format!("its JSON is that of {:?}", shown(&json.id));
        return Err(Finding::of(id, What::JsonOtherId, text));
    }
    match json.parent.as_deref() {
        None | Some("") => Ok(Parent::Nothing),
        Some(parent) => match parent.parse() {
            Ok(parent) => Ok(Parent::Image(parent)),
            Err(_) => Err(unreadable(format!("its parent is {:?}, which is no image", shown(parent)))),
        },
    }
}

/// 127 layers are the most of any graph driver (moby, `layer/layer_store.go`): what has several times as many is no image.
pub(super) const MOST_LAYERS: usize = 1000;

/// The ids that an image's ancestry names, itself first (docker-registry 0.9.1, `lib/layers.py`, `generate_ancestry`).
pub(super) fn ancestry(id: ImageId, content: &[u8]) -> Result<Vec<ImageId>, Finding> {
    let unreadable =
        |why: String| Finding::of(id, What::AncestryUnreadable, format!("its ancestry can't be read: {why}"));
    let texts: Vec<String> =
        serde_json::from_slice(content).map_err(|error| unreadable(shown(&error.to_string())))?;
    if texts.len() > MOST_LAYERS {
        let text = format!("its ancestry names {} images; none is built of so many", texts.len());
        return Err(Finding::of(id, What::AncestryBroken, text));
    }
    let mut ids = Vec::with_capacity(texts.len());
    for text in texts {
        let named = text.parse::<ImageId>();
        ids.push(named.map_err(|_| unreadable(format!("it names {:?}, which is no image", shown(&text))))?);
    }
    if ids.first() == Some(&id) {
        return Ok(ids);
    }
    let first =
        ids.first().map_or_else(|| "it is empty".to_owned(), |first| format!("it begins with {first}"));
    Err(Finding::of(id, What::AncestryBroken, format!("its ancestry does not begin with itself: {first}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::v1::checksum;

    const ID: &str = "0123456789abcdef";
    const PARENT: &str = "fedcba9876543210";

    fn id(text: &str) -> ImageId {
        text.parse().unwrap()
    }

    #[test]
    fn a_json_names_a_parent_or_none() {
        let parent_of = |json: &str| parent(id(ID), json.as_bytes());
        assert_eq!(parent_of(r#"{"id":"0123456789abcdef"}"#), Ok(Parent::Nothing));
        for nothing in ["null", "\"\""] {
            let json = format!(r#"{{"parent":{nothing},"id":"{ID}","config":{{"Cmd":["sh"]}}}}"#);
            assert_eq!(parent_of(&json), Ok(Parent::Nothing));
        }
        let json = format!(r#"{{"id":"{ID}","parent":"{PARENT}"}}"#);
        assert_eq!(parent_of(&json), Ok(Parent::Image(id(PARENT))));
    }

    #[test]
    fn a_json_that_is_none_or_another_images_is_damage() {
        let what = |json: &[u8]| parent(id(ID), json).unwrap_err().what;
        for json in [&b""[..], b"[]", b"{", b"{}", b"\xff", br#"{"id":1}"#] {
            assert_eq!(what(json), What::JsonUnreadable, "{json:?}");
        }
        assert_eq!(what(format!(r#"{{"id":"{PARENT}"}}"#).as_bytes()), What::JsonOtherId);
        assert_eq!(what(br#"{"id":"latest"}"#), What::JsonOtherId);
        assert_eq!(what(format!(r#"{{"id":"{ID}","parent":"x"}}"#).as_bytes()), What::JsonUnreadable);
    }

    #[test]
    fn an_ancestry_begins_with_its_own_image() {
        let whole = format!(r#"["{ID}", "{PARENT}"]"#);
        assert_eq!(ancestry(id(ID), whole.as_bytes()), Ok(vec![id(ID), id(PARENT)]));
        let what = |content: &str| ancestry(id(ID), content.as_bytes()).unwrap_err().what;
        let endless = format!("[{}\"{ID}\"]", format!("\"{ID}\",").repeat(MOST_LAYERS));
        assert_eq!(what(&endless), What::AncestryBroken);
        assert_eq!(what("[]"), What::AncestryBroken);
        assert_eq!(what(&format!(r#"["{PARENT}"]"#)), What::AncestryBroken);
        // Cut off in the middle of a write.
        for length in 0..whole.len() {
            assert_eq!(what(&whole[..length]), What::AncestryUnreadable, "{length}");
        }
        assert_eq!(what(r#"["latest"]"#), What::AncestryUnreadable);
        assert_eq!(what(r#"{"id":1}"#), What::AncestryUnreadable);
    }

    proptest! {
        #[test]
        fn reading_what_anybody_wrote_never_panics(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parent(id(ID), &content), ancestry(id(ID), &content), checksum::simple(&content));
        }
    }

    #[test]
    fn what_stands_in_a_store_moves_no_cursor() {
        let hostile = format!(r#"{{"id":"\u001b[2J{}"}}"#, "x".repeat(1000));
        let finding = parent(id(ID), hostile.as_bytes()).unwrap_err();
        assert!(!finding.text.contains('\u{1b}') && finding.text.len() < 200, "{}", finding.text);
    }
}
