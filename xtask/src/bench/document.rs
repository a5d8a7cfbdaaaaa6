//! docs/performance.md has two writers: the section over S3 is one's, all else the other's.

use std::fs;
use std::path::PathBuf;

use crate::step::root;

/// The heading of the section over S3. It ends where the next one of its level begins.
pub(crate) const OVER_S3: &str = "## Over S3\n";
/// What it stands before.
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

/// The section over S3, if there is one.
pub(crate) fn section(text: &str) -> Option<&str> {
    let rest = &text[text.find(OVER_S3)?..];
    let end = rest[OVER_S3.len()..].find("\n## ").map_or(rest.len(), |at| OVER_S3.len() + at + 1);
    Some(&rest[..end])
}

/// The text with this section over S3 instead of the one that it has.
pub(crate) fn with_section(text: &str, section_over_s3: &str) -> String {
    let text = section(text).map_or_else(|| text.to_owned(), |old| text.replacen(old, "", 1));
    let (before, samples) = text.split_at(text.find(SAMPLES).unwrap_or(text.len()));
    format!("{}\n\n{}\n\n{samples}", before.trim_end(), section_over_s3.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "# Performance\n\n## Medians\n\n| a |\n\n## Every sample\n\n    1\n";

    #[test]
    fn a_section_is_put_before_the_samples_found_again_and_replaced() {
        assert_eq!(section(PLAIN), None);
        let first = with_section(PLAIN, "## Over S3\n\n### Requests\n\n1\n");
        assert_eq!(section(&first), Some("## Over S3\n\n### Requests\n\n1\n\n"));
        let second = with_section(&first, "## Over S3\n\n2\n");
        assert_eq!(second, PLAIN.replace("## Every", "## Over S3\n\n2\n\n## Every"));
    }
}
