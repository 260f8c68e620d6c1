//! One document on its way to one device.
//!
//! [`step`] is the only way from one state to the next. What a device should hold is latest-wins; an independent
//! observation ([`Observation::Effective`]) moves a delivery out of any state, so that no lost report leaves it pending.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::DocumentDigest;
use crate::word::words;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// To be offered at the next contact.
    Pending,
    /// Sent and not yet confirmed. Where the application is withdrawn: the device was told so.
    Offered,
    /// The device is at work on it.
    Applying,
    /// The device says that it is done. The end where nothing independent can be seen.
    Applied,
    /// Seen in force. The end.
    Verified,
    /// The device could not, or five offers went unanswered. An end until someone tries again or the document changes.
    Failed,
    /// The device has an older document under way, and a newer one is to be offered.
    Superseded,
    /// To be taken back at the next contact.
    Withdrawing,
    /// The agent takes no configuration. An end until it does.
    Unsupported,
}

words!(DeliveryState, "state of a delivery":
    Pending = "pending", Offered = "offered", Applying = "applying", Applied = "applied", Verified = "verified",
    Failed = "failed", Superseded = "superseded", Withdrawing = "withdrawing", Unsupported = "unsupported");

impl DeliveryState {
    /// Whether nothing follows by itself. Every other state has a deadline.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Applied | Self::Verified | Self::Failed | Self::Unsupported)
    }

    /// Whether it is to be offered.
    pub const fn is_waiting(self) -> bool {
        matches!(self, Self::Pending | Self::Superseded | Self::Withdrawing)
    }

    /// Whether the device has it under way.
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::Offered | Self::Applying)
    }
}

/// What a device should hold for an application.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// This document.
    Document(DocumentDigest),
    /// None: what it was given is taken back.
    Withdrawn,
}

impl Wanted {
    /// The document, if there is one.
    pub const fn digest(&self) -> Option<&DocumentDigest> {
        match self {
            Self::Document(digest) => Some(digest),
            Self::Withdrawn => None,
        }
    }
}

/// How long a delivery may stay in each state that is no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Deadlines {
    /// Seconds in `pending`, `superseded` and `withdrawing`, after which the device is looked for again.
    #[schema(minimum = 1)]
    pub waiting: u32,
    /// Seconds in `offered`.
    #[schema(minimum = 1)]
    pub offered: u32,
    /// Seconds in `applying`.
    #[schema(minimum = 1)]
    pub applying: u32,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { waiting: 7_200, offered: 300, applying: 900 }
    }
}

impl Deadlines {
    /// When a state that was entered at `now` is over; never for an end.
    pub fn of(&self, state: DeliveryState, now: Timestamp) -> Option<Timestamp> {
        let seconds = match state {
            _ if state.is_end() => return None,
            DeliveryState::Offered => self.offered,
            DeliveryState::Applying => self.applying,
            _ => self.waiting,
        };
        let after = Duration::from_secs(seconds.into());
        Some(now.checked_add(after).unwrap_or(Timestamp::MAX))
    }
}

/// Offers without an answer, after which a delivery is failed.
pub const MAX_OFFERS: u32 = 5;

/// One application on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Delivery {
    /// What it should hold.
    pub wanted: Wanted,
    /// The version of what it should hold: rises where the document is another, or stands on other policies.
    pub wanted_version: u64,
    /// What that version stands on: a digest of the policies in force, with their versions. `None` if that is not known.
    pub basis: Option<String>,
    /// What it holds, as far as known.
    pub held: Option<DocumentDigest>,
    /// The version that `held` was, if it was one of ours.
    pub held_version: Option<u64>,
    /// Where it stands.
    pub state: DeliveryState,
    /// Since when.
    pub since: Timestamp,
    /// Offers of this document that were not answered in time, and the one under way.
    pub offers: u32,
    /// Rises whenever the same document has to be offered again: goes into the hash that the agent compares, since an agent may
    /// ignore one that it has seen.
    pub attempt: u32,
    /// When this state is over; absent at an end.
    pub deadline: Option<Timestamp>,
    /// The server's time of the report that the document is applied; absent while none ever was.
    pub delivered_at: Option<Timestamp>,
    /// What went wrong last.
    pub error: Option<String>,
}

/// What is seen of a delivery, or asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// The document that the device should hold was published.
    Wanted {
        /// The document.
        digest: DocumentDigest,
        /// Its version.
        version: u64,
        /// What that stands on; see [`Delivery::basis`].
        basis: Option<String>,
    },
    /// The application is withdrawn from the device.
    Withdraw {
        /// The version in which it is.
        version: u64,
    },
    /// What is wanted was sent.
    Offered,
    /// The device says what became of it.
    Reported {
        /// How far it is.
        status: ReportStatus,
        /// The document that it speaks of; none: that it takes the document back.
        digest: Option<DocumentDigest>,
        /// Why it failed.
        message: Option<String>,
    },
    /// What the device really holds.
    Effective {
        /// The document; none if it holds none.
        digest: Option<DocumentDigest>,
    },
    /// The deadline has passed.
    DeadlinePassed,
    /// The agent takes no configuration.
    Incapable,
    /// A person has it tried again.
    Retry,
}

/// How far a device says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum ReportStatus {
    /// At work.
    Applying,
    /// Done.
    Applied,
    /// It could not.
    Failed,
}

words!(ReportStatus, "status of a document": Applying = "applying", Applied = "applied", Failed = "failed");

impl Delivery {
    /// A delivery of which nothing was published yet: the next step is [`Observation::Wanted`].
    pub const fn unpublished(now: Timestamp) -> Self {
        Self {
            wanted: Wanted::Withdrawn,
            wanted_version: 0,
            basis: None,
            held: None,
            held_version: None,
            state: DeliveryState::Verified,
            since: now,
            offers: 0,
            attempt: 0,
            deadline: None,
            delivered_at: None,
            error: None,
        }
    }

    /// Whether the device is known to hold what it should, in the version that it should.
    pub fn is_delivered(&self) -> bool {
        self.held.as_ref() == self.wanted.digest() && self.held_version == Some(self.wanted_version)
    }

    /// The state in which what is wanted now waits for a contact.
    const fn waiting(&self) -> DeliveryState {
        match self.wanted {
            Wanted::Document(_) => DeliveryState::Pending,
            Wanted::Withdrawn => DeliveryState::Withdrawing,
        }
    }
}

/// The delivery after `observation`. Nothing else changes a delivery.
#[must_use]
pub fn step(
    delivery: &Delivery,
    observation: &Observation,
    now: Timestamp,
    deadlines: &Deadlines,
) -> Delivery {
    let mut walk = Walk { next: delivery.clone(), now, deadlines };
    match observation {
        Observation::Wanted { digest, version, basis } => {
            walk.wanted(Wanted::Document(digest.clone()), *version, basis.as_deref());
        }
        Observation::Withdraw { version } => walk.wanted(Wanted::Withdrawn, *version, None),
        Observation::Offered => walk.offered(),
        Observation::Reported { status, digest, message } => {
            walk.reported(*status, digest.as_ref(), message.as_deref());
        }
        Observation::Effective { digest } => walk.effective(digest.as_ref()),
        Observation::DeadlinePassed => walk.deadline_passed(),
        Observation::Incapable => {
            walk.go(DeliveryState::Unsupported);
            walk.next.offers = 0;
            walk.next.error = Some("its agent takes no configuration".to_owned());
        }
        Observation::Retry => walk.retry(),
    }
    walk.next
}

struct Walk<'a> {
    next: Delivery,
    now: Timestamp,
    deadlines: &'a Deadlines,
}

impl Walk<'_> {
    /// Enters a state. One that it is in already goes on with its time and deadline.
    fn go(&mut self, state: DeliveryState) {
        if self.next.state != state {
            self.next.state = state;
            self.next.since = self.now;
            self.next.deadline = self.deadlines.of(state, self.now);
        }
        if matches!(state, DeliveryState::Applied | DeliveryState::Verified) {
            self.next.error = None;
            self.next.offers = 0;
        }
    }

    fn wanted(&mut self, wanted: Wanted, version: u64, basis: Option<&str>) {
        // An older publishing that comes late is over.
        if version < self.next.wanted_version {
            return;
        }
        self.next.basis = basis.map(str::to_owned);
        // Publishing twice is publishing once.
        if version == self.next.wanted_version && wanted == self.next.wanted {
            return;
        }
        let state = self.next.state;
        let same = wanted == self.next.wanted;
        let never_sent = state == DeliveryState::Pending && self.next.offers == 0 && self.next.attempt == 0;
        let done = matches!(state, DeliveryState::Applied | DeliveryState::Verified);
        self.next.wanted = wanted;
        self.next.wanted_version = version;
        if state == DeliveryState::Unsupported || (same && !state.is_end()) {
            return;
        }
        self.next.offers = 0;
        self.next.error = None;
        let gone = self.next.wanted == Wanted::Withdrawn;
        if gone && self.next.held.is_none() && (never_sent || (same && done)) {
            // What the device never had, or has given back already, needs no taking back.
            self.held(None);
            self.go(if same { state } else { DeliveryState::Verified });
        } else if state.is_under_way() && !gone {
            self.go(DeliveryState::Superseded);
        } else if state != DeliveryState::Superseded || gone {
            self.next.attempt += u32::from(same && state == DeliveryState::Failed);
            self.go(self.next.waiting());
        }
    }

    fn offered(&mut self) {
        // Repeated in answer to each duplicate while it is under way: that is one offer.
        if self.next.state.is_waiting() || self.next.state == DeliveryState::Unsupported {
            self.next.offers += 1;
            self.next.error = None;
            self.go(DeliveryState::Offered);
        }
    }

    fn reported(&mut self, status: ReportStatus, digest: Option<&DocumentDigest>, message: Option<&str>) {
        if digest != self.next.wanted.digest() {
            self.reported_of_another(status, digest);
            return;
        }
        match status {
            ReportStatus::Applying
                if matches!(self.next.state, DeliveryState::Applied | DeliveryState::Verified) => {}
            ReportStatus::Applying => self.go(DeliveryState::Applying),
            ReportStatus::Applied => {
                self.held(digest);
                if self.next.state != DeliveryState::Verified {
                    self.go(DeliveryState::Applied);
                }
            }
            ReportStatus::Failed => {
                self.go(DeliveryState::Failed);
                self.next.error = Some(message.unwrap_or("the device gave no reason").to_owned());
            }
        }
    }

    fn reported_of_another(&mut self, status: ReportStatus, digest: Option<&DocumentDigest>) {
        if status == ReportStatus::Applied {
            self.holds_another(digest);
        }
        if self.next.state == DeliveryState::Superseded && status != ReportStatus::Applying {
            self.go(self.next.waiting());
        }
    }

    fn effective(&mut self, digest: Option<&DocumentDigest>) {
        if digest == self.next.wanted.digest() {
            self.held(digest);
            self.go(DeliveryState::Verified);
        } else {
            self.holds_another(digest);
        }
    }

    /// The device holds what it should. The time of delivery moves only if it did not before, or held another version.
    fn held(&mut self, digest: Option<&DocumentDigest>) {
        let news = !self.next.is_delivered();
        self.next.held = digest.cloned();
        self.next.held_version = Some(self.next.wanted_version);
        if news && digest.is_some() {
            self.next.delivered_at =
                Some(self.next.delivered_at.map_or(self.now, |before| before.max(self.now)));
        }
    }

    /// The device holds something else: that is drift where it was done already.
    fn holds_another(&mut self, digest: Option<&DocumentDigest>) {
        if self.next.held.as_ref() != digest {
            self.next.held = digest.cloned();
            self.next.held_version = None;
        }
        if matches!(self.next.state, DeliveryState::Applied | DeliveryState::Verified) {
            self.next.attempt += 1;
            self.go(self.next.waiting());
            self.next.error =
                Some("the device does not hold what was delivered: it is delivered again".to_owned());
        }
    }

    fn deadline_passed(&mut self) {
        let state = self.next.state;
        if state.is_under_way() && self.next.offers >= MAX_OFFERS {
            self.go(DeliveryState::Failed);
            self.next.error =
                Some(format!("{MAX_OFFERS} offers went unanswered: look at the agent's own log, then retry"));
        } else if state.is_under_way() {
            self.next.attempt += 1;
            self.go(self.next.waiting());
        } else if state.is_waiting() {
            // Nothing was sent, so nothing is counted: the device is only looked for again.
            self.next.deadline = self.deadlines.of(state, self.now);
        }
    }

    fn retry(&mut self) {
        if matches!(self.next.state, DeliveryState::Failed | DeliveryState::Unsupported) {
            self.next.attempt += 1;
            self.next.offers = 0;
            self.next.error = None;
            self.go(self.next.waiting());
        }
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
