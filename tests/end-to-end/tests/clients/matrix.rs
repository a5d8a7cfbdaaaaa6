//! Who pulls what whom pushed: every client pushes every item, then every client pulls all of them.

use std::collections::BTreeMap;
use std::thread;

use longshore_end_to_end::figure;

use crate::client::{Client, Content, ITEMS, Item};
use crate::home::Refusal;
use crate::images::Images;
use crate::pushed::Pushed;
use crate::reader::Reader;

const WIDTH: usize = 14;

const LEGEND: [&str; 3] = [
    "equal: the digest that the pusher told, and the files that were built",
    "equal (image): the same files; the puller tells the digest of the image that it took from the list",
    "refuses: the puller ends with an error of its own; not pushed: the pusher did",
];

pub(crate) struct Matrix<'a> {
    /// Tells the lines of two matrices that run at the same time apart.
    over: &'static str,
    clients: &'a [Box<dyn Client>],
    images: &'a Images,
    pushed: BTreeMap<(usize, &'static str), Pushed>,
    wrong: Vec<String>,
}

/// What became of one pull.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cell {
    /// The digest that the pusher reported, and the tree that was built.
    Equal,
    /// The same; the client tells the digest of the image that it chose from the list.
    EqualMember,
    PusherRefuses,
    PullerRefuses,
    Wrong,
}

impl Cell {
    fn text(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::EqualMember => "equal (image)",
            Self::PusherRefuses => "not pushed",
            Self::PullerRefuses => "refuses",
            Self::Wrong => "WRONG",
        }
    }
}

impl<'a> Matrix<'a> {
    /// Pushes: the clients at the same time, the items of one client one after the other.
    pub(crate) async fn push(
        over: &'static str,
        clients: &'a [Box<dyn Client>],
        images: &'a Images,
        reader: &Reader,
    ) -> Self {
        let mut matrix = Self { over, clients, images, pushed: BTreeMap::new(), wrong: Vec::new() };
        let results = on_all(clients, |client| {
            ITEMS.map(|item| client.push(item, images, &format!("{}/{}", client.host(), repository(client))))
        });
        for (number, results) in results.into_iter().enumerate() {
            for (item, result) in ITEMS.into_iter().zip(results) {
                matrix.take_push(number, item, result, reader).await;
            }
        }
        matrix
    }

    async fn take_push(
        &mut self,
        number: usize,
        item: Item,
        result: Result<String, Refusal>,
        reader: &Reader,
    ) {
        let client = &self.clients[number];
        let what = format!("{} pushes {}", client.name(), item.tag());
        let refuses = client.refuses_to_push_artifacts().filter(|_| item == Item::Artifact);
        match (result, refuses) {
            (Ok(digest), None) => {
                let pushed = Pushed::read(reader, item, self.images, &repository(&**client)).await;
                let conversions: Vec<_> = pushed.conversions.iter().map(ToString::to_string).collect();
                let own = if conversions.is_empty() { "as built".to_owned() } else { conversions.join(", ") };
                figure!("clients over {}: {what:<22} {} {own}", self.over, &pushed.digest[..19]);
                if pushed.digest != digest {
                    self.wrong.push(format!("{what}: told {digest}, the registry has {}", pushed.digest));
                }
                if pushed.conversions != client.conversions(item) {
                    self.wrong
                        .push(format!("{what}: {:?} is what it is known for", client.conversions(item)));
                }
                self.pushed.insert((number, item.tag()), pushed);
            }
            (Err(refusal), Some(words)) if refusal.contains(words) => {
                figure!("clients over {}: {what:<22} refuses: \"{words}\"", self.over);
            }
            (Ok(digest), Some(_)) => self.wrong.push(format!("{what}: {digest}; it was known to refuse")),
            (Err(refusal), _) => self.wrong.push(format!("{what}: {refusal}")),
        }
    }

    /// Pulls, prints a table for each item, and fails if a cell is not as it should be.
    pub(crate) fn pull_and_print(mut self) {
        let pushers: Vec<_> = self.clients.iter().map(|client| repository(&**client)).collect();
        let columns = on_all(self.clients, |client| {
            let mut cells = Vec::new();
            for item in ITEMS {
                for (number, pusher) in pushers.iter().enumerate() {
                    let pushed = self.pushed.get(&(number, item.tag()));
                    let reference = format!("{}/{pusher}:{}", client.host(), item.tag());
                    cells.push(self.pull(client, item, &reference, pushed));
                }
            }
            cells
        });
        let tables = ITEMS.into_iter().enumerate().flat_map(|(at, item)| self.table(item, at, &columns));
        let lines: Vec<_> = tables.chain(LEGEND.map(str::to_owned)).collect();
        // In one go: another test may print at the same time.
        figure!("clients over {}:\n    {}", self.over, lines.join("\n    "));
        for cell in columns.into_iter().flatten() {
            self.wrong.extend(cell.err());
        }
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }

    fn pull(
        &self,
        client: &dyn Client,
        item: Item,
        reference: &str,
        pushed: Option<&Pushed>,
    ) -> Result<Cell, String> {
        let Some(pushed) = pushed else { return Ok(Cell::PusherRefuses) };
        let refuses = client.refuses_to_pull_artifacts().filter(|_| item == Item::Artifact);
        let mut cell = Cell::Equal;
        // Both images of a list; else the one that there is.
        let count = if item == Item::List { self.images.built.len() } else { 1 };
        for built in &self.images.built[..count] {
            let what = format!("{} pulls {reference} ({})", client.name(), built.architecture);
            let pulled = match (client.pull(item, reference, built.architecture), refuses) {
                (Ok(pulled), None) => pulled,
                (Err(said), Some(words)) if said.contains(words) => return Ok(Cell::PullerRefuses),
                (Ok(_), Some(_)) => return Err(format!("{what}: it was known to refuse")),
                (Err(refusal), _) => return Err(format!("{what}: {refusal}")),
            };
            let mut digest = pushed.digest.as_str();
            if item == Item::List && !client.tells_digests_of_lists() {
                (cell, digest) = (Cell::EqualMember, pushed.member(built.architecture));
            }
            if !pulled.digests.iter().any(|told| told == digest) {
                return Err(format!("{what}: told {:?}, not {digest}", pulled.digests));
            }
            match &pulled.content {
                Content::Tree(tree) if *tree != built.tree => {
                    return Err(format!("{what}:\n{}", built.tree.differences(tree).join("\n")));
                }
                Content::Blob(blob) if *blob != self.images.artifact_blob => {
                    return Err(format!("{what}: another blob of {} bytes", blob.len()));
                }
                Content::Tree(_) | Content::Blob(_) => {}
            }
        }
        Ok(cell)
    }

    fn table(&self, item: Item, at: usize, columns: &[Vec<Result<Cell, String>>]) -> Vec<String> {
        let heading: String =
            self.clients.iter().map(|client| format!("{:<WIDTH$}", client.name())).collect();
        let mut lines =
            vec![format!("{:<9}| pulled by", item.tag()), format!("pushed by| {}", heading.trim_end())];
        for (row, client) in self.clients.iter().enumerate() {
            let cells = columns.iter().map(|column| &column[at * self.clients.len() + row]);
            let texts = cells.map(|cell| cell.as_ref().map_or(Cell::Wrong, |cell| *cell).text());
            let line: String = texts.map(|text| format!("{text:<WIDTH$}")).collect();
            lines.push(format!("{:<9}| {}", client.name(), line.trim_end()));
        }
        lines
    }
}

/// Each pusher has a repository of its own, so that nobody finds his blobs there already.
fn repository(client: &dyn Client) -> String {
    format!("clients/{}", client.name())
}

fn on_all<T: Send>(clients: &[Box<dyn Client>], work: impl Fn(&dyn Client) -> T + Sync) -> Vec<T> {
    let work = &work;
    tokio::task::block_in_place(|| {
        thread::scope(|scope| {
            let started = clients.iter().map(|client| scope.spawn(move || work(&**client)));
            let started: Vec<_> = started.collect();
            let ended = started
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            ended.collect()
        })
    })
}
