//! Who has a session. Owns the rounds by which writers follow each other, where no server refuses anything.
//!
//! A session goes through rounds, and each has at most one **leader**, who alone writes records. Its creator leads the round
//! of number 0. A newcomer first says that the round is **over**, and then reads what its leader wrote. A leader writes its
//! record first, and then looks whether its round is over, before it says yes to anybody. So one of the two sees the other:
//! what was acknowledged is read by the newcomer, and what comes later is not acknowledged.
//!
//! Two newcomers of one round are parted by a claim and a door, which are plain objects (L. Lamport, "A Fast Mutual
//! Exclusion Algorithm", 1987): each claims the round, goes on if the door is open, shuts it, and leads if the claim is still its
//! own. Nobody who claims later finds the door open, and whoever claimed in between took the claim: so not more than one
//! leads. Another begins again with the round after.
//!
//! All of these objects are found by their names and read with `X-Newest`; no listing is asked.

use bytes::Bytes;
use futures_util::future::try_join;
use longshore_driver_sdk::sessions::Record;
use longshore_driver_sdk::sessions::parted::{
    CREATED, Content, Medium as _, Parted, State, folder, name_of, nonce, nonce_of, now, number_of,
    with_number,
};
use longshore_driver_sdk::{DriverError, Fence, Reason, Result, UploadId};
use tokio::time::{Duration, sleep};

use super::lane::Sent;
use super::store::{Known, Records};
use crate::container::Freshness;
use crate::failure::Failure;

/// So often a newcomer may meet others in the same moment.
const ATTEMPTS: u32 = 8;
/// What one waits then, so that they come one after the other.
const PAUSE: Duration = Duration::from_millis(50);
/// A nonce has no more.
const NONCE: usize = 64;

/// A round that a writer leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lead {
    pub(super) round: u32,
    /// In the names of all that its leader writes.
    pub(super) nonce: String,
    /// The number of the next segment.
    pub(super) next: u32,
}

/// Where a session is.
pub(super) struct Standing {
    pub(super) round: u32,
    /// The last record of the last leader.
    pub(super) known: Known,
}

/// The objects of a round.
#[derive(Clone, Copy)]
enum Mark {
    /// The nonce of the newcomer that came last.
    Claim,
    /// A newcomer was there already.
    Door,
    /// The leader's first record.
    Leader,
    /// A newcomer is about to lead the round after.
    Over,
}

impl Mark {
    const ALL: [Self; 4] = [Self::Claim, Self::Door, Self::Leader, Self::Over];

    fn name(self, round: u32) -> String {
        let what = match self {
            Self::Claim => "claim",
            Self::Door => "door",
            Self::Leader => "leader",
            Self::Over => "over",
        };
        format!("{what}-{round:08x}")
    }
}

/// The names of all objects of the rounds up to one, in the session's folder.
pub(super) fn names(last: u32) -> impl Iterator<Item = String> {
    (0..=last).flat_map(|round| Mark::ALL.map(|mark| mark.name(round)))
}

impl Records {
    /// Whether the leader of this round still is the last one.
    pub(super) async fn check(&self, id: &UploadId, round: u32) -> Result<()> {
        let created = self.ledger.read_state(id, CREATED);
        let is_over =
            async { if round == 0 { Ok(false) } else { self.is_there(id, &Mark::Over.name(round)).await } };
        let (created, is_over) = try_join(created, is_over).await?;
        let Some(created) = created else {
            let message = format!("upload {id} was ended by another driver; give this stream up");
            return Err(DriverError::new(Reason::Fenced, message));
        };
        if is_over || round == 0 && created.is_over {
            let message = format!("a newer writer at another driver has upload {id}; give this stream up");
            return Err(DriverError::new(Reason::Fenced, message));
        }
        Ok(())
    }

    /// Where a session is at the moment.
    pub(super) async fn standing(&self, id: &UploadId) -> Result<Standing> {
        let created = self.created(id).await?;
        if !created.is_over {
            let known = self.last_record(id, created).await?;
            return Ok(Standing { round: 0, known });
        }
        let round = self.first_not_over(id).await?;
        let known = self.inherited(id, created, round).await?;
        Ok(Standing { round, known })
    }

    async fn created(&self, id: &UploadId) -> Result<State<Sent>> {
        let Some(created) = self.ledger.read_state(id, CREATED).await? else {
            self.ledger.forget(id);
            self.store.must_be_there().await?;
            return Err(DriverError::upload_unknown(id));
        };
        Ok(created)
    }

    /// Rounds are over one after the other, so few looks find the first that is not.
    async fn first_not_over(&self, id: &UploadId) -> Result<u32> {
        let (mut over, mut step) = (0_u32, 1_u32);
        while self.is_there(id, &Mark::Over.name(over.saturating_add(step))).await? {
            over += step;
            step = step.saturating_mul(2);
        }
        while step > 1 {
            step /= 2;
            if self.is_there(id, &Mark::Over.name(over.saturating_add(step))).await? {
                over += step;
            }
        }
        Ok(over.saturating_add(1))
    }

    /// The last record of the last leader up to a round.
    async fn inherited(&self, id: &UploadId, created: State<Sent>, round: u32) -> Result<Known> {
        for round in (1..=round).rev() {
            if let Some(leader) = self.ledger.read_state(id, &Mark::Leader.name(round)).await? {
                return self.last_record(id, leader).await;
            }
        }
        self.last_record(id, created).await
    }

    /// The last record of the writer of this first one.
    async fn last_record(&self, id: &UploadId, first: State<Sent>) -> Result<Known> {
        let name = first.stands_for.clone().ok_or_else(|| {
            let message = format!("{} is damaged (it stands for nothing); end the upload", folder(id));
            DriverError::new(Reason::ChecksumMismatch, message)
        })?;
        let known = self.ledger.known(id).filter(|known| with_number(&known.name, 0) == name);
        if let Some(known) = &known
            && known.is_own
        {
            return Ok(known.clone());
        }
        let from = known.as_ref().map_or(&name, |known| &known.name);
        let last = self.last_of_writer(id, from).await?;
        match known {
            Some(known) if known.name == last => Ok(known),
            _ if last == name => {
                let state = State { stands_for: None, is_over: false, ..first };
                Ok(self.remembered(id, name, state, false))
            }
            _ => self.ledger.read(id, &last).await,
        }
    }

    fn remembered(&self, id: &UploadId, name: String, state: State<Sent>, is_own: bool) -> Known {
        let known = Known { name, state: state.into(), is_own, own: None, in_doubt: false };
        self.ledger.remember(id, known.clone());
        known
    }

    /// The last record of the writer of this one: its numbers have no gaps.
    async fn last_of_writer(&self, id: &UploadId, name: &str) -> Result<String> {
        let there = async |number: u32| self.is_there(id, &with_number(name, number)).await;
        let (mut last, mut step) = (number_of(name), 1);
        while there(last.saturating_add(step)).await? {
            last += step;
            step = step.saturating_mul(2);
        }
        while step > 1 {
            step /= 2;
            if there(last.saturating_add(step)).await? {
                last += step;
            }
        }
        Ok(with_number(name, last))
    }

    /// Makes a newcomer the leader of a session, and gives it what it has then.
    ///
    /// [`Reason::Fenced`]: a writer of a larger fence has it.
    pub(super) async fn lead(&self, id: &UploadId, fence: &Fence) -> Result<(Lead, Known)> {
        for attempt in 1..=ATTEMPTS {
            let standing = self.standing(id).await?;
            if *fence < standing.known.state.record.fence {
                let message = format!("a newer writer has upload {id}; give this one up");
                return Err(DriverError::new(Reason::Fenced, message));
            }
            let known = self.ended(id, standing.round).await?;
            if let Some(led) = self.led(id, standing.round.saturating_add(1), fence, &known).await? {
                return Ok(led);
            }
            let another = u32::from_str_radix(&nonce()?[..4], 16).unwrap_or(0) % attempt;
            sleep(PAUSE * (attempt + another)).await;
        }
        let message = format!("other writers want upload {id} in this moment; try again");
        Err(DriverError::new(Reason::Conflict, message))
    }

    /// Ends a round, and gives the last record from before that. What its leader writes later is acknowledged to nobody.
    async fn ended(&self, id: &UploadId, round: u32) -> Result<Known> {
        let created = self.created(id).await?;
        if round > 0 {
            self.set(id, Mark::Over, round, Bytes::from_static(b"over")).await?;
        } else {
            let over = State { is_over: true, ..created.clone() };
            self.set_named(id, CREATED, over.encode(0)?).await?;
        }
        // What is known of another process's last record may be older than its last word.
        self.inherited(id, created, round).await
    }

    /// Whether this newcomer leads a round.
    async fn led(
        &self,
        id: &UploadId,
        round: u32,
        fence: &Fence,
        before: &Known,
    ) -> Result<Option<(Lead, Known)>> {
        let nonce = nonce()?;
        self.set(id, Mark::Claim, round, nonce.clone().into()).await?;
        if self.is_there(id, &Mark::Door.name(round)).await? {
            return Ok(None);
        }
        self.set(id, Mark::Door, round, Bytes::from_static(b"shut")).await?;
        if self.claim(id, round).await?.as_deref() != Some(nonce.as_bytes()) {
            return Ok(None);
        }
        let name = name_of(fence, 0, &nonce);
        let record = Record { fence: fence.clone(), updated: now(), ..before.state.record.clone() };
        let state = State { record, stands_for: Some(name.clone()), ..State::clone(&before.state) };
        self.set(id, Mark::Leader, round, state.encode(0)?).await?;
        match self.check(id, round).await {
            Ok(()) => {}
            Err(error) if error.reason() == Reason::Fenced => return Ok(None),
            Err(error) => return Err(error),
        }
        let next = next_of(&state.parted);
        let known = self.remembered(id, name, State { stands_for: None, ..state }, true);
        Ok(Some((Lead { round, nonce, next }, known)))
    }

    async fn claim(&self, id: &UploadId, round: u32) -> Result<Option<Bytes>> {
        let path = format!("{}{}", folder(id), Mark::Claim.name(round));
        match self.store.container.get(&path, 0, None, Freshness::Newest).await {
            Ok(got) => got.body.all(NONCE).await.map(Some),
            Err(Failure::Absent) => Ok(None),
            Err(other) => Err(other.into_error(&format!("GET {path}"))),
        }
    }

    async fn set(&self, id: &UploadId, mark: Mark, round: u32, text: Bytes) -> Result<()> {
        self.set_named(id, &mark.name(round), text).await
    }

    async fn set_named(&self, id: &UploadId, name: &str, text: Bytes) -> Result<()> {
        self.store.put(&format!("{}{name}", folder(id)), Content::from(text), false).await
    }

    async fn is_there(&self, id: &UploadId, name: &str) -> Result<bool> {
        let path = format!("{}{name}", folder(id));
        Ok(self.store.container.stat(&path, Freshness::Newest).await?.is_some())
    }
}

/// The number of the next segment: that of its place in the object, unless some were sent and not recorded.
pub(super) fn next_of(parted: &Parted<Sent>) -> u32 {
    let parts = u32::try_from(parted.parts.len()).unwrap_or(u32::MAX);
    parts.saturating_add(1).max(parted.next)
}

/// The round's leader's nonce in the names of a record.
pub(super) fn is_of(known: &Known, lead: &Lead) -> bool {
    nonce_of(&known.name) == lead.nonce
}
