//! Uploads of the load: in one request, or in chunks that go to both cores by turns.

use crate::client::{durable_offset, finish_path};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, StatusCode};

use super::REPOSITORIES;
use super::ledger::{Answered, Asked, Blob, Repository};
use super::user::{TRIES, User};

/// An upload that is not known any more is begun anew, as a client does: docs/adr/0002, where the adoption fails.
const BEGINNINGS: usize = 5;
const MOST_CHUNKS: u64 = 5;

impl User {
    pub(super) async fn push_blob(&mut self, repository: Repository, blob: Blob) {
        for _ in 0..BEGINNINGS {
            let path = format!("/v2/{}/blobs/uploads/", REPOSITORIES[repository]);
            let answer = self.send(|user| user.cores[0].request(Method::POST, &path)).await;
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{:?}", answer.body);
            if self.upload(repository, blob, Place::of(&answer.headers)).await {
                return;
            }
            self.count("upload unknown");
        }
        panic!("the upload of blob {blob} is unknown {BEGINNINGS} times");
    }

    /// False: the registry does not know the upload any more.
    async fn upload(&mut self, repository: Repository, blob: Blob, mut place: Place) -> bool {
        let size = self.content.blobs[blob].bytes.len() as u64;
        if self.random.below(3) > 0 {
            let chunks = self.random.between(1, MOST_CHUNKS);
            let mut turn = self.random.below(2) as usize;
            while place.durable < size {
                let end = (place.durable + size.div_ceil(chunks)).min(size);
                place = self.chunk(blob, place, end, turn % 2).await;
                turn += 1;
            }
        }
        self.finish(repository, blob, place).await
    }

    /// One PATCH at one of the cores, up to `end`. Where it does not go through, the session says where it is.
    async fn chunk(&mut self, blob: Blob, place: Place, end: u64, core: usize) -> Place {
        let chunk = self.content.blobs[blob].bytes.slice(place.durable as usize..end as usize);
        let request = self.cores[core].patch_request(&place.location, place.durable, chunk);
        match self.try_once(request).await {
            Some(answer) if answer.status == StatusCode::ACCEPTED => {
                let place = Place::of(&answer.headers);
                assert_eq!(place.durable, end, "an acknowledged chunk is durable");
                return place;
            }
            Some(answer) => {
                let status = answer.status;
                assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE, "PATCH: {:?}", answer.body);
                self.count(status.as_str());
            }
            None => {}
        }
        let asked = self.send(|user| user.cores[core].get(&place.location)).await;
        assert_eq!(asked.status, StatusCode::NO_CONTENT, "{:?}", asked.body);
        let now = Place::of(&asked.headers);
        assert!(
            now.durable >= place.durable,
            "{} bytes were acknowledged, {} are left",
            place.durable,
            now.durable
        );
        now
    }

    /// The PUT, with what is left as its body: this is what makes the blob be there. False: the upload is not known.
    async fn finish(&mut self, repository: Repository, blob: Blob, mut place: Place) -> bool {
        let asked = Asked::PushBlob(repository, blob);
        for _ in 0..TRIES {
            let (digest, bytes) = (&self.content.blobs[blob].digest, &self.content.blobs[blob].bytes);
            let rest = bytes.slice(place.durable as usize..);
            let request =
                self.cores[0].request(Method::PUT, &finish_path(&place.location, digest)).body(rest);
            let begin = self.ledger.now();
            match self.try_once(request).await {
                Some(answer) if answer.status == StatusCode::CREATED => {
                    self.ledger.enter(begin, asked, Answered::Done);
                    return true;
                }
                Some(answer) if answer.status == StatusCode::NOT_FOUND => return false,
                Some(answer) => panic!("{asked:?}: {}: {:?}", answer.status, answer.body),
                None => self.ledger.enter(begin, asked, Answered::Unknown),
            }
            // It may have taken some of the bytes, or all.
            let answer = self.send(|user| user.cores[0].get(&place.location)).await;
            match answer.status {
                StatusCode::NO_CONTENT => place = Place::of(&answer.headers),
                status => {
                    assert_eq!(status, StatusCode::NOT_FOUND, "{asked:?}: {:?}", answer.body);
                    return false;
                }
            }
        }
        panic!("{asked:?}: refused {TRIES} times");
    }
}

/// Where a session is.
struct Place {
    location: String,
    durable: u64,
}

impl Place {
    fn of(headers: &HeaderMap) -> Self {
        let location = headers[LOCATION].to_str().expect("a path").to_owned();
        Self { location, durable: durable_offset(headers).expect("a range") }
    }
}
