//! docs/performance.md has several writers: a section is one's, all else that of the comparison on disk.

use std::fs;
use std::path::PathBuf;

use crate::step::root;

/// The headings of sections. One ends where the next one of its level begins.
pub(crate) const OVER_S3: &str = "## Over S3\n";
pub(crate) const OVER_SWIFT: &str = "## Over Swift\n";
/// What they stand before, in this order.
pub(crate) const SAMPLES: &str = "## Every sample\n";

pub(crate) fn path() -> PathBuf {
    root().join("docs/performance.md")
}

pub(crate) fn read() -> String {
    fs::read_to_string(path()).unwrap_or_default()
}

pub(crate) fn write(text: &str) -> Result<(), String> {
    let path = path();
    fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    crate::console::say(&format!("written: {}", path.display()));
    Ok(())
}

/// The text of the comparison on disk, with the sections that this one has.
pub(crate) fn with_sections_of(text: &str, old: &str) -> String {
    [OVER_S3, OVER_SWIFT].into_iter().fold(text.to_owned(), |text, heading| match section(old, heading) {
        Some(section) => with_section(&text, heading, section),
        None => text,
    })
}

/// The section with this heading, if there is one.
fn section<'a>(text: &'a str, heading: &str) -> Option<&'a str> {
    let rest = &text[text.find(heading)?..];
    let end = rest[heading.len()..].find("\n## ").map_or(rest.len(), |at| heading.len() + at + 1);
    Some(&rest[..end])
}

/// The text with this section instead of the one that it has under the heading.
pub(crate) fn with_section(text: &str, heading: &str, new: &str) -> String {
    let new = format!("{}\n\n", new.trim_end());
    if let Some(old) = section(text, heading) {
        return text.replacen(old, &new, 1);
    }
    let (before, samples) = text.split_at(text.find(SAMPLES).unwrap_or(text.len()));
    format!("{}\n\n{new}{samples}", before.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "# Performance\n\n## Medians\n\n| a |\n\n## Every sample\n\n    1\n";

    #[test]
    fn a_section_is_put_before_the_samples_found_again_and_replaced() {
        assert_eq!(section(PLAIN, OVER_S3), None);
        let first = with_section(PLAIN, OVER_S3, "## Over S3\n\n### Requests\n\n1\n");
        assert_eq!(section(&first, OVER_S3), Some("## Over S3\n\n### Requests\n\n1\n\n"));
        let second = with_section(&first, OVER_S3, "## Over S3\n\n2\n");
        assert_eq!(second, PLAIN.replace("## Every", "## Over S3\n\n2\n\n## Every"));
    }

    #[test]
    fn sections_keep_their_places_and_outlive_a_new_comparison() {
        let both = "## Over S3\n\n2\n\n## Over Swift\n\n3\n\n## Every";
        let text = with_section(PLAIN, OVER_S3, "## Over S3\n\n1\n");
        let text = with_section(&text, OVER_SWIFT, "## Over Swift\n\n3\n");
        let text = with_section(&text, OVER_S3, "## Over S3\n\n2\n");
        assert_eq!(text, PLAIN.replace("## Every", both));
        let compared = PLAIN.replace("| a |", "| b |");
        assert_eq!(with_sections_of(&compared, &text), compared.replace("## Every", both));
        assert_eq!(with_sections_of(&compared, PLAIN), compared);
    }
}
