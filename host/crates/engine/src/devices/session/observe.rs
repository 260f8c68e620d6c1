//! What a message says about deliveries.

use bytes::Bytes;
use serde_json::Value;
use syncline_domain::{
    Name,
    device::{Delivery, DeliveryState, DocumentDigest, Observation, ReportStatus, Wanted},
};
use syncline_protocol::{
    hash::document_digest,
    items::{Application, ApplicationState, Applications, Body},
    opamp::{AgentConfigMap, RemoteConfigStatus, RemoteConfigStatuses},
};

use super::{Turn, offer::Offer};

/// All that is seen of the deliveries of the device, in order.
pub(super) fn seen(
    turn: &Turn<'_>,
    offer: Option<&Offer>,
    wanted: &[(Name, Bytes)],
) -> Vec<(Name, Observation)> {
    let device = &turn.device.abilities;
    if !device.takes_config {
        let able = turn.deliveries.iter().filter(|(_, one)| one.state != DeliveryState::Unsupported);
        return able.map(|(name, _)| (name.clone(), Observation::Incapable)).collect();
    }
    // It can again: what was set aside is taken up.
    let unable = turn.deliveries.iter().filter(|(_, one)| one.state == DeliveryState::Unsupported);
    let mut all: Vec<_> = unable.map(|(name, _)| (name.clone(), Observation::Retry)).collect();
    if device.speaks_items {
        let items = turn.items.iter().flat_map(|items| &items.items);
        // The last report is the one that counts.
        let report = items.rev().find_map(|item| match &item.body {
            Some(Body::Applications(report)) => Some(report),
            _ => None,
        });
        if let Some(report) = report {
            all.extend(turn.deliveries.iter().flat_map(|(name, one)| of_report(name, one, report)));
        }
        return all;
    }
    if let (Some(status), Some(offer)) = (&turn.message.remote_config_status, offer)
        && status.last_remote_config_hash == offer.hash
    {
        all.extend(turn.deliveries.iter().filter_map(|(name, one)| of_status(name, one, status)));
    }
    if let Some(map) = turn.message.effective_config.as_ref().and_then(|config| config.config_map.as_ref()) {
        all.extend(turn.deliveries.iter().filter_map(|(name, one)| of_effective(name, one, map, wanted)));
    }
    all
}

/// One word for all documents: what has come to an end before is not moved by it, unless it is done now.
fn of_status(name: &Name, delivery: &Delivery, status: &RemoteConfigStatus) -> Option<(Name, Observation)> {
    let said = match status.status() {
        RemoteConfigStatuses::Unset => return None,
        RemoteConfigStatuses::Applied => ReportStatus::Applied,
        RemoteConfigStatuses::Applying => ReportStatus::Applying,
        RemoteConfigStatuses::Failed => ReportStatus::Failed,
    };
    if said != ReportStatus::Applied && delivery.state.is_end() {
        return None;
    }
    let message = Some(shortened(&status.error_message)).filter(|text| !text.is_empty());
    let digest = delivery.wanted.digest().cloned();
    Some((name.clone(), Observation::Reported { status: said, digest, message }))
}

/// An entry of the same key is compared. One that differs is drift only where it was seen to be the same before: how agents
/// merge is their own.
fn of_effective(
    name: &Name,
    delivery: &Delivery,
    map: &AgentConfigMap,
    wanted: &[(Name, Bytes)],
) -> Option<(Name, Observation)> {
    let Wanted::Document(digest) = &delivery.wanted else { return None };
    let file = map.config_map.get(name.as_str())?;
    let (_, body) = wanted.iter().find(|(one, _)| one == name)?;
    let digest = if same(body, &file.body) {
        digest.clone()
    } else if delivery.state == DeliveryState::Verified {
        document_digest(&file.body).into()
    } else {
        return None;
    };
    Some((name.clone(), Observation::Effective { digest: Some(digest) }))
}

/// Equal bytes, or equal JSON.
fn same(one: &[u8], other: &[u8]) -> bool {
    let json = |bytes| serde_json::from_slice::<Value>(bytes).ok();
    one == other || json(one).is_some_and(|one| Some(one) == json(other))
}

/// What our own report says of one delivery.
fn of_report(name: &Name, delivery: &Delivery, report: &Applications) -> Vec<(Name, Observation)> {
    let seen = |observation| (name.clone(), observation);
    let Some(one) = report.applications.iter().find(|one| one.name == name.as_str()) else {
        // Not listed: the device neither has nor had it. Before anything was sent, that is no news.
        let told = matches!(delivery.state, DeliveryState::Applied | DeliveryState::Verified);
        let gone = delivery.wanted == Wanted::Withdrawn || told;
        return if gone { vec![seen(Observation::Effective { digest: None })] } else { Vec::new() };
    };
    let digest = digest(&one.document_digest);
    let reported = |status, digest, message: &str| {
        let message = Some(shortened(message)).filter(|text| !text.is_empty());
        seen(Observation::Reported { status, digest, message })
    };
    match one.state() {
        ApplicationState::Unspecified => Vec::new(),
        ApplicationState::Applying => vec![reported(ReportStatus::Applying, digest, "")],
        ApplicationState::Withdrawing => vec![reported(ReportStatus::Applying, None, "")],
        ApplicationState::Failed => vec![reported(ReportStatus::Failed, digest, &one.error)],
        ApplicationState::Withdrawn => {
            vec![reported(ReportStatus::Applied, None, ""), seen(Observation::Effective { digest: None })]
        }
        ApplicationState::Unsupported => {
            let why = "the device has no way to configure this application: configure it there";
            let why = if one.error.is_empty() { why } else { &one.error };
            vec![reported(ReportStatus::Failed, delivery.wanted.digest().cloned(), why)]
        }
        ApplicationState::Applied => {
            let applied = reported(ReportStatus::Applied, digest.clone(), "");
            vec![applied, seen(Observation::Effective { digest: on_disk(one, digest) })]
        }
    }
}

/// What an application really holds. The file can be another text than the document that it was made of, so what the device
/// says of drift counts, and then the digest of the file.
fn on_disk(one: &Application, document: Option<DocumentDigest>) -> Option<DocumentDigest> {
    if one.drift { digest(&one.digest_on_disk) } else { document }
}

fn digest(bytes: &[u8]) -> Option<DocumentDigest> {
    <[u8; 32]>::try_from(bytes).ok().map(DocumentDigest::from)
}

/// What a device says, within bounds.
fn shortened(text: &str) -> String {
    const MOST: usize = 2_000;
    text.chars().take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn delivery(state: DeliveryState, body: &[u8]) -> Delivery {
        let mut delivery = Delivery::unpublished(Timestamp::UNIX_EPOCH);
        delivery.wanted = Wanted::Document(document_digest(body).into());
        delivery.state = state;
        delivery
    }

    fn report(state: ApplicationState, body: &[u8], drift: bool) -> Applications {
        let one = Application {
            name: "app".to_owned(),
            document_digest: document_digest(body).to_vec(),
            state: state.into(),
            drift,
            ..Application::default()
        };
        Applications { applications: vec![one] }
    }

    fn name() -> Name {
        "app".parse().unwrap()
    }

    #[test]
    fn a_report_of_ours_moves_one_application() {
        let offered = delivery(DeliveryState::Offered, b"1");
        let seen = of_report(&name(), &offered, &report(ApplicationState::Applied, b"1", false));
        let wanted = offered.wanted.digest().cloned();
        assert_eq!(seen[1].1, Observation::Effective { digest: wanted });
        let drifted = of_report(&name(), &offered, &report(ApplicationState::Applied, b"1", true));
        assert_eq!(drifted[1].1, Observation::Effective { digest: None });
        assert!(of_report(&name(), &offered, &Applications::default()).is_empty());
        let verified = delivery(DeliveryState::Verified, b"1");
        let gone = of_report(&name(), &verified, &Applications::default());
        assert_eq!(gone[0].1, Observation::Effective { digest: None });
    }

    #[test]
    fn what_is_in_force_is_compared_as_bytes_or_json() {
        assert!(same(b"x", b"x") && same(br#"{"a":1,"b":2}"#, br#"{ "b": 2, "a": 1 }"#));
        assert!(!same(b"x", b"y") && !same(b"1", b"2"));
        let wanted = [(name(), Bytes::from_static(b"{\"a\":1}"))];
        let map = |body: &'static [u8]| {
            let file = syncline_protocol::opamp::AgentConfigFile {
                body: Bytes::from_static(body),
                ..Default::default()
            };
            AgentConfigMap { config_map: [("app".to_owned(), file)].into() }
        };
        let applied = delivery(DeliveryState::Applied, b"{\"a\":1}");
        assert!(of_effective(&name(), &applied, &map(b"{ \"a\": 1 }"), &wanted).is_some());
        assert_eq!(of_effective(&name(), &applied, &map(b"merged"), &wanted), None);
        let verified = delivery(DeliveryState::Verified, b"{\"a\":1}");
        assert!(of_effective(&name(), &verified, &map(b"edited"), &wanted).is_some());
    }

    #[test]
    fn one_word_for_all_does_not_undo_what_is_done() {
        let failed = RemoteConfigStatus {
            status: RemoteConfigStatuses::Failed.into(),
            ..RemoteConfigStatus::default()
        };
        assert_eq!(of_status(&name(), &delivery(DeliveryState::Verified, b"1"), &failed), None);
        assert!(of_status(&name(), &delivery(DeliveryState::Offered, b"1"), &failed).is_some());
    }
}
