use proptest::prelude::*;

use super::*;

fn digest(one: u8) -> DocumentDigest {
    format!("{one:064x}").parse().unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Takes a delivery through observations, one a second, and gives it after each.
fn walk(observations: &[Observation]) -> Vec<Delivery> {
    let mut steps = vec![Delivery::unpublished(at(0))];
    for (second, observation) in (1..).zip(observations) {
        let next = step(&steps[steps.len() - 1], observation, at(second), &Deadlines::default());
        steps.push(next);
    }
    steps
}

fn end(observations: &[Observation]) -> Delivery {
    walk(observations).pop().unwrap()
}

fn wanted(one: u8, version: u64) -> Observation {
    Observation::Wanted { digest: digest(one), version, basis: Some(format!("basis of {version}")) }
}

fn reported(status: ReportStatus, one: u8) -> Observation {
    Observation::Reported { status, digest: Some(digest(one)), message: None }
}

fn effective(one: u8) -> Observation {
    Observation::Effective { digest: Some(digest(one)) }
}

use DeliveryState as S;
use Observation as O;
use ReportStatus as R;

#[test]
fn a_delivery_goes_its_way() {
    let all = [wanted(1, 1), O::Offered, reported(R::Applying, 1), reported(R::Applied, 1), effective(1)];
    let states: Vec<_> = walk(&all).iter().map(|delivery| delivery.state).collect();
    assert_eq!(states, [S::Verified, S::Pending, S::Offered, S::Applying, S::Applied, S::Verified]);
    let last = end(&all);
    assert_eq!(
        (last.delivered_at, last.held_version),
        (Some(at(4)), Some(1)),
        "by the report, not by the look"
    );
}

#[test]
fn the_time_of_delivery_is_untouched_by_what_changes_nothing() {
    let done = [wanted(1, 1), O::Offered, reported(R::Applied, 1)];
    assert_eq!(end(&[wanted(1, 1), O::Offered]).delivered_at, None);
    let same = [done.as_slice(), &[reported(R::Applied, 1), effective(1), effective(1)]].concat();
    assert_eq!(end(&same).delivered_at, Some(at(3)));
    let edited = [done.as_slice(), &[wanted(2, 2), O::Offered]].concat();
    assert_eq!(end(&edited).delivered_at, Some(at(3)));
    assert_eq!(end(&edited).held_version, Some(1));
}

#[test]
fn a_new_version_of_the_same_document_counts_at_the_next_contact_with_its_hash() {
    let done = [wanted(1, 1), O::Offered, reported(R::Applied, 1), effective(1), wanted(1, 2)];
    let waiting = end(&done);
    assert_eq!(
        (waiting.state, waiting.delivered_at, waiting.held_version),
        (S::Pending, Some(at(3)), Some(1))
    );
    let next = end(&[done.as_slice(), &[reported(R::Applied, 1)]].concat());
    assert_eq!((next.state, next.delivered_at, next.held_version), (S::Applied, Some(at(6)), Some(2)));
    let under_way = end(&[wanted(1, 1), O::Offered, wanted(1, 2)]);
    assert_eq!((under_way.state, under_way.offers), (S::Offered, 1), "the offer under way is still right");
}

#[test]
fn five_offers_without_an_answer_are_a_failure_and_a_retry_begins_anew() {
    let mut all = vec![wanted(1, 1)];
    for offer in 1..=MAX_OFFERS {
        all.extend([O::Offered, O::Offered, O::DeadlinePassed]);
        let now = end(&all);
        assert_eq!(now.state, if offer < MAX_OFFERS { S::Pending } else { S::Failed }, "offer {offer}");
        assert_eq!(now.offers, offer);
    }
    assert!(end(&all).error.unwrap().contains("unanswered"));
    all.push(O::Retry);
    let again = end(&all);
    assert_eq!((again.state, again.offers, again.attempt), (S::Pending, 0, MAX_OFFERS));
}

#[test]
fn a_device_that_does_not_come_uses_up_no_offers() {
    let all = [vec![wanted(1, 1)], vec![O::DeadlinePassed; 20]].concat();
    let waiting = end(&all);
    assert_eq!((waiting.state, waiting.offers, waiting.since), (S::Pending, 0, at(1)));
    assert!(waiting.deadline.unwrap() > at(21));
}

#[test]
fn the_latest_wins_while_an_older_one_is_under_way() {
    let all = [wanted(1, 1), O::Offered, reported(R::Applying, 1), wanted(2, 2)];
    assert_eq!(end(&all).state, S::Superseded);
    let late = end(&[all.as_slice(), &[reported(R::Applied, 1)]].concat());
    assert_eq!((late.state, late.held, late.delivered_at), (S::Pending, Some(digest(1)), None));
    assert_eq!(
        end(&[wanted(2, 2), wanted(1, 1)]).wanted,
        Wanted::Document(digest(2)),
        "an older one comes late"
    );
}

#[test]
fn drift_is_repaired_under_another_hash() {
    let done = [wanted(1, 1), O::Offered, reported(R::Applied, 1), effective(1)];
    let drifted = end(&[done.as_slice(), &[effective(9)]].concat());
    assert_eq!((drifted.state, drifted.attempt, drifted.held), (S::Pending, 1, Some(digest(9))));
    let repaired =
        end(&[done.as_slice(), &[effective(9), O::Offered, reported(R::Applied, 1), effective(1)]].concat());
    assert_eq!((repaired.state, repaired.delivered_at), (S::Verified, Some(at(7))));
    let deleted = end(&[done.as_slice(), &[O::Effective { digest: None }]].concat());
    assert_eq!((deleted.state, deleted.held), (S::Pending, None));
}

#[test]
fn what_is_withdrawn_is_taken_back_and_what_never_came_needs_not() {
    let gone = O::Withdraw { version: 2 };
    assert_eq!(end(&[wanted(1, 1), gone.clone()]).state, S::Verified);
    let done = [wanted(1, 1), O::Offered, reported(R::Applied, 1), gone.clone()];
    assert_eq!(end(&done).state, S::Withdrawing);
    assert_eq!(end(&[wanted(1, 1), O::Offered, gone]).state, S::Withdrawing, "it may have arrived");
    let told = [done.as_slice(), &[O::Offered]].concat();
    assert_eq!(end(&told).state, S::Offered);
    let taken = O::Reported { status: R::Applied, digest: None, message: None };
    let taken = end(&[told.as_slice(), &[taken]].concat());
    assert_eq!((taken.state, taken.held, taken.delivered_at), (S::Applied, None, Some(at(3))));
    let seen = end(&[told.as_slice(), &[O::Effective { digest: None }]].concat());
    assert_eq!(seen.state, S::Verified);
    let back = end(&[done.as_slice(), &[wanted(1, 3)]].concat());
    assert_eq!(back.state, S::Pending);
}

#[test]
fn failures_say_why_and_a_new_document_is_a_new_chance() {
    let failed =
        O::Reported { status: R::Failed, digest: Some(digest(1)), message: Some("check: no".to_owned()) };
    let all = [wanted(1, 1), O::Offered, failed];
    assert_eq!((end(&all).state, end(&all).error.as_deref()), (S::Failed, Some("check: no")));
    assert_eq!(end(&[all.as_slice(), &[O::Offered]].concat()).state, S::Failed, "not without being asked");
    let next = end(&[all.as_slice(), &[wanted(2, 2)]].concat());
    assert_eq!((next.state, next.offers, next.error), (S::Pending, 0, None));
}

#[test]
fn an_agent_that_takes_nothing_is_no_failure_and_stays_so_until_it_is_offered_something() {
    let all = [wanted(1, 1), O::Incapable];
    assert_eq!(end(&all).state, S::Unsupported);
    assert_eq!(end(&[all.as_slice(), &[wanted(2, 2)]].concat()).state, S::Unsupported);
    assert_eq!(end(&[all.as_slice(), &[wanted(2, 2), O::Offered]].concat()).state, S::Offered);
}

fn any_observation() -> impl Strategy<Value = Observation> {
    let status = prop_oneof![Just(R::Applying), Just(R::Applied), Just(R::Failed)];
    let held = proptest::option::of((1_u8..4).prop_map(digest));
    prop_oneof![
        (1_u8..4, 1_u64..9).prop_map(|(one, version)| wanted(one, version)),
        (1_u64..9).prop_map(|version| O::Withdraw { version }),
        Just(O::Offered),
        (status, held.clone()).prop_map(|(status, digest)| O::Reported { status, digest, message: None }),
        held.prop_map(|digest| O::Effective { digest }),
        Just(O::DeadlinePassed),
        Just(O::Incapable),
        Just(O::Retry),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn seeing_what_is_wanted_verifies_from_anywhere(all in proptest::collection::vec(any_observation(), 0..30)) {
        let last = end(&all);
        let seen = O::Effective { digest: last.wanted.digest().cloned() };
        let verified = step(&last, &seen, at(100), &Deadlines::default());
        prop_assert_eq!(verified.state, S::Verified);
        prop_assert!(verified.is_delivered());
        prop_assert_eq!(&verified.held, &last.wanted.digest().cloned());
    }

    #[test]
    fn every_state_has_a_deadline_or_is_an_end(all in proptest::collection::vec(any_observation(), 0..30)) {
        for delivery in walk(&all) {
            prop_assert_eq!(delivery.deadline.is_none(), delivery.state.is_end(), "{:?}", delivery);
            prop_assert!(delivery.offers <= MAX_OFFERS);
            prop_assert!(delivery.state != S::Failed || delivery.error.is_some());
        }
    }

    #[test]
    fn the_time_of_delivery_never_goes_back(
        all in proptest::collection::vec((any_observation(), 0_i64..1_000), 0..30),
    ) {
        // The clock steps about.
        let mut delivery = Delivery::unpublished(at(0));
        for (observation, second) in all {
            let next = step(&delivery, &observation, at(second), &Deadlines::default());
            prop_assert!(next.delivered_at >= delivery.delivered_at);
            if next.held == delivery.held && next.held_version == delivery.held_version {
                prop_assert_eq!(next.delivered_at, delivery.delivered_at);
            }
            delivery = next;
        }
    }

    #[test]
    fn an_offer_that_is_never_answered_comes_to_an_end(all in proptest::collection::vec(any_observation(), 0..30)) {
        let mut delivery = end(&[all.as_slice(), &[wanted(5, 10)]].concat());
        for _ in 0..2 * MAX_OFFERS {
            delivery = step(&delivery, &O::Offered, at(100), &Deadlines::default());
            delivery = step(&delivery, &O::DeadlinePassed, at(101), &Deadlines::default());
        }
        prop_assert!(delivery.state.is_end(), "{:?}", delivery);
    }

    #[test]
    fn the_same_observation_twice_is_the_same_as_once(all in proptest::collection::vec(any_observation(), 1..30)) {
        let repeatable = |one: &Observation| !matches!(one, O::DeadlinePassed);
        let once = end(&all);
        let last = &all[all.len() - 1];
        if repeatable(last) {
            prop_assert_eq!(step(&once, last, once.since, &Deadlines::default()), once);
        }
    }
}
