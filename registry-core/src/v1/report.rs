//! What a listing says, to people and to programs. The fields and words of the second are promised: docs/legacy.md has them.

use std::fmt::Write as _;
use std::io::{self, Write};

use indicatif::HumanBytes;
use serde::Serialize;

use super::damage::{Finding, What};
use super::image_id::ImageId;
use super::layout::Folder;
use super::progress::Progress;
use super::tag::Tag;
use super::totals::{RepositoryTotals, Summary};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Table,
    /// For programs: a JSON object on each line.
    Json,
}

pub struct Report<'a> {
    out: &'a mut dyn Write,
    form: Form,
    progress: &'a Progress,
}

/// An image that no tag reaches, by its files alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unreferenced {
    pub(super) id: ImageId,
    /// Of its layer.
    pub(super) bytes: u64,
    pub(super) in_progress: bool,
}

/// A line for programs.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line<'a> {
    Tag {
        repository: &'a str,
        tag: &'a str,
        image: Option<String>,
        layers: usize,
        bytes: u64,
        damage: Vec<Told<'a>>,
        notes: Vec<Told<'a>>,
    },
    Repository {
        repository: &'a str,
        private: bool,
        tags: u64,
        damaged_tags: u64,
        images: u64,
        bytes: u64,
        notes: Vec<Told<'a>>,
    },
    Image {
        image: String,
        bytes: u64,
        in_progress: bool,
    },
    Summary(&'a Summary),
}

#[derive(Serialize)]
struct Told<'a> {
    what: What,
    image: Option<String>,
    text: &'a str,
}

impl<'a> Report<'a> {
    pub fn new(out: &'a mut dyn Write, form: Form, progress: &'a Progress) -> Self {
        Self { out, form, progress }
    }

    /// Its tags follow.
    pub(super) fn repository_begins(&mut self, folder: &Folder) -> io::Result<()> {
        match self.form {
            Form::Table => self.text(&format!("{}\n", folder.name)),
            Form::Json => Ok(()),
        }
    }

    pub(super) fn tag(&mut self, folder: &Folder, tag: &Tag) -> io::Result<()> {
        match self.form {
            Form::Table => self.text(&row(tag)),
            Form::Json => self.line(&Line::Tag {
                repository: &folder.name,
                tag: &tag.name,
                image: tag.image.map(|id| id.to_string()),
                layers: tag.images.len(),
                bytes: tag.bytes(),
                damage: told(&tag.damage),
                notes: told(&tag.notes),
            }),
        }
    }

    pub(super) fn repository_ends(
        &mut self,
        folder: &Folder,
        private: bool,
        totals: &RepositoryTotals,
    ) -> io::Result<()> {
        let notes: Vec<Finding> =
            folder.no_v2_name().map(|text| Finding::of_name(What::NoV2Name, text)).into_iter().collect();
        match self.form {
            Form::Table => self.text(&foot(private, totals, &notes)),
            Form::Json => self.line(&Line::Repository {
                repository: &folder.name,
                private,
                tags: totals.tags,
                damaged_tags: totals.damaged_tags,
                images: totals.images(),
                bytes: totals.bytes,
                notes: told(&notes),
            }),
        }
    }

    pub(super) fn unreferenced(&mut self, image: &Unreferenced) -> io::Result<()> {
        let Unreferenced { id, bytes, in_progress } = *image;
        match self.form {
            Form::Table => {
                let state = if in_progress { "  push broken off" } else { "" };
                self.text(&format!("no tag  {id}  {:>12}{state}\n", size(bytes)))
            }
            Form::Json => self.line(&Line::Image { image: id.to_string(), bytes, in_progress }),
        }
    }

    pub(super) fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        match self.form {
            Form::Table => self.text(&sums(summary)),
            Form::Json => self.line(&Line::Summary(summary)),
        }
    }

    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.text(&text)
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        let out = &mut self.out;
        self.progress.above(|| out.write_all(text.as_bytes()))
    }
}

fn told(findings: &[Finding]) -> Vec<Told<'_>> {
    let findings = findings.iter();
    findings
        .map(|Finding { what, image, text }| Told {
            what: *what,
            image: image.map(|id| id.to_string()),
            text,
        })
        .collect()
}

fn row(tag: &Tag) -> String {
    let image = tag.image.map_or_else(|| "-".to_owned(), |id| id.short());
    let layers = counted(tag.images.len() as u64, "layer");
    let mut text = format!("  {:<28} {image:<12} {layers:>12} {:>12}", tag.name, size(tag.bytes()));
    text.push_str(if tag.damage.is_empty() { "\n" } else { "  DAMAGED\n" });
    for finding in &tag.damage {
        text += &told_to_people("", finding);
    }
    for note in &tag.notes {
        text += &told_to_people("note: ", note);
    }
    text
}

fn told_to_people(kind: &str, finding: &Finding) -> String {
    let image = finding.image.map_or_else(String::new, |id| format!("{}: ", id.short()));
    format!("      {kind}{image}{}\n", finding.text)
}

fn foot(private: bool, totals: &RepositoryTotals, notes: &[Finding]) -> String {
    let mut text: String = notes.iter().map(|note| format!("  note: {}\n", note.text)).collect();
    let private = if private { ", private" } else { "" };
    let damaged = match totals.damaged_tags {
        0 => String::new(),
        tags => format!(", {tags} damaged"),
    };
    let (tags, images) = (counted(totals.tags, "tag"), counted(totals.images(), "image"));
    // Writing to a String can't fail.
    let _ = writeln!(text, "  {tags}{damaged}, {images}, {}{private}\n", size(totals.bytes));
    text
}

fn sums(summary: &Summary) -> String {
    let Summary { repositories, tags, damaged_tags, images, bytes, other_entries, checksums } = summary;
    let mut lines = vec![
        format!("repositories  {repositories}"),
        format!("tags          {tags}, {damaged_tags} damaged"),
        format!(
            "images        {} that tags reach, {}; {} of them damaged, and {} missing",
            images.reached,
            size(bytes.reached),
            images.damaged,
            images.missing
        ),
        format!(
            "no tag        reaches {}, {}",
            counted(images.unreferenced, "image"),
            size(bytes.unreferenced)
        ),
        format!("in all        {}, {}", counted(images.all, "image"), size(bytes.all)),
    ];
    if *other_entries > 0 {
        lines.push(format!("others        {other_entries} entries below images/ that are no images"));
    }
    if let Some(checksums) = checksums {
        lines.push(format!(
            "checksums     {} match, {} do not, {} could not be checked",
            checksums.matched, checksums.mismatched, checksums.not_checked
        ));
    }
    lines.join("\n") + "\n"
}

fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn size(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}
