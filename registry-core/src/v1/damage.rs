//! What may be wrong with a tag or an image, and what is only worth a note. The words are part of what a listing promises to
//! programs.

use serde::Serialize;

use super::image_id::ImageId;

/// A closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// A tag's file has no id in it.
    TagUnreadable,
    /// A tag or a child points at it, and it is not there.
    ImageMissing,
    /// `_inprogress` is there: its push never came to an end, and the registry itself did not serve it.
    InProgress,
    JsonMissing,
    JsonUnreadable,
    /// The JSON is another image's.
    JsonOtherId,
    AncestryMissing,
    AncestryUnreadable,
    /// It says something else than the parents in the JSONs.
    AncestryBroken,
    LayerMissing,
    /// No byte at all; the archive of an empty layer has 1,024.
    LayerEmpty,
    LayerUnreadable,
    ChecksumMismatch,
    /// No damage: V2 has no such name.
    NoV2Name,
    /// No damage: there is no checksum that could be checked.
    NotChecked,
}

/// Something wrong, or a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) what: What,
    /// `None`: it is about a name.
    pub(super) image: Option<ImageId>,
    pub(super) text: String,
}

impl Finding {
    pub(super) fn of(image: ImageId, what: What, text: impl Into<String>) -> Self {
        Self { what, image: Some(image), text: text.into() }
    }

    pub(super) fn of_name(what: What, text: impl Into<String>) -> Self {
        Self { what, image: None, text: text.into() }
    }
}

/// What stands in a store is shown without what could move a terminal's cursor, and not at length.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 80;
    let mut shown: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push_str("...");
    }
    shown
}
