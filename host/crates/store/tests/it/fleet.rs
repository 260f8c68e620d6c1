//! What people start and send: forced synchronisation, messages, tasks; and who uses devices.

use std::time::Duration;

use serde_json::json;
use syncline_domain::{
    device::{
        activation::Activation,
        message::{Direction, Message, MessageOutcome},
        operation::{SyncOutcome, SyncScope, SyncedDevice},
        task::{OpenTask, TaskState},
        user::{Key, KeySets, User},
    },
    ids::{DeviceId, MessageId},
};
use syncline_store::{
    ConcludedSyncs, Db, Error, NewActivation, NewMessage, NewTask, NewUser, Page, TaskAnswer, UserFilter,
};

use crate::{
    devices::{add_groups, enrolled, group, register},
    lab::{LONG, Lab, both_engines, event, name},
};

fn synced(lab: &Lab, device: DeviceId, outcome: SyncOutcome) -> SyncedDevice {
    SyncedDevice { device, outcome, reason: None, at: lab.now() }
}

async fn add_user(db: &Db, user: &str, path: &str) -> User {
    let new = NewUser {
        name: user.to_owned(),
        display_name: user.to_uppercase(),
        email: None,
        group: group(path),
        keys: KeySets::new(),
    };
    db.add_user(&new, event("user.added")).await.unwrap()
}

fn colour(lab: &Lab, user: &User) -> String {
    let status = user.status(lab.now());
    format!("{} {}", status.colour, status.state)
}

async fn activate(lab: &Lab, db: &Db, device: DeviceId, code: &str) -> Activation {
    let new = NewActivation { id: MessageId::new(lab.now()), device, code: code.to_owned() };
    db.activate(&new, |_| event("user.activated")).await.unwrap().unwrap().end
}

/// A code that lives longer than the subscription.
async fn code_without_end(lab: &Lab, db: &Db, user: &User) -> String {
    db.issue_subscription(user.id, lab.now().checked_add(LONG).ok(), event("x")).await.unwrap();
    let ends = lab.now().checked_add(LONG * 3).unwrap();
    let code = db.create_activation_code(user.id, ends, event("x")).await.unwrap().1;
    lab.pass(LONG);
    code
}

both_engines! {
    async fn a_repeat_of_a_forced_sync_is_the_one_under_way(lab: Lab) {
        let db = lab.open().await;
        let [first, second] = [register(&lab, &db, "a").await.id, register(&lab, &db, "b").await.id];
        let scope = SyncScope::Devices(vec![first, second]);
        let devices = [synced(&lab, first, SyncOutcome::Woken), synced(&lab, second, SyncOutcome::Deferred)];
        let (operation, begun) = db.begin_sync_operation(&scope, &devices, event("devices.sync")).await.unwrap();
        assert!(begun);
        assert_eq!((operation.counts.woken, operation.counts.deferred, operation.finished_at), (1, 1, None));
        let same = SyncScope::Devices(vec![second, first, second]);
        let (again, begun) = db.begin_sync_operation(&same, &devices, event("devices.sync")).await.unwrap();
        assert_eq!((again, begun), (operation.clone(), false));

        // A contact from before the request says nothing of it.
        let before = lab.now() - Duration::from_secs(1);
        let end = (SyncOutcome::Synchronised, None);
        assert_eq!(db.conclude_syncs_of(first, before, end, true).await.unwrap(), ConcludedSyncs::default());
        let ended = db.conclude_syncs_of(first, lab.now(), end, false).await.unwrap();
        assert_eq!(ended, ConcludedSyncs { ended: vec![operation.id], asked: false });
        // It was not asked to report everything yet.
        let asked = db.conclude_syncs_of(second, lab.now(), end, false).await.unwrap();
        assert_eq!(asked, ConcludedSyncs { ended: Vec::new(), asked: true });
        let counts = db.sync_operation(operation.id).await.unwrap().counts;
        assert_eq!((counts.woken, counts.deferred, counts.synchronised), (1, 0, 1));
        let failed = SyncedDevice { reason: Some("no answer".to_owned()), ..synced(&lab, second, SyncOutcome::Failed) };
        assert_eq!(db.set_sync_outcomes(operation.id, std::slice::from_ref(&failed)).await.unwrap(), 1);
        assert_eq!(db.set_sync_outcomes(operation.id, &[synced(&lab, second, SyncOutcome::Woken)]).await.unwrap(), 0);
        let done = db.sync_operation(operation.id).await.unwrap();
        assert_eq!((done.counts.synchronised, done.counts.failed, done.finished_at), (1, 1, Some(lab.now())));
        let listed = db.synced_devices(operation.id, Some(SyncOutcome::Failed), &Page::default()).await.unwrap();
        assert_eq!(listed.items, [failed]);
        lab.pass(Duration::from_millis(1));
        let (next, begun) = db.begin_sync_operation(&scope, &devices, event("devices.sync")).await.unwrap();
        assert!(begun && next.id != operation.id);
        let over = db.finish_sync_operation(next.id, "it took too long").await.unwrap();
        assert_eq!((over.counts.failed, over.finished_at), (2, Some(lab.now())));
        assert_eq!(db.sync_operations(true, &Page::default()).await.unwrap().items, []);
        assert_eq!(db.sync_operations(false, &Page::default()).await.unwrap().items.len(), 2);
    }

    async fn what_another_node_woke_or_what_reports_everything_ends_at_its_contact(lab: Lab) {
        let db = lab.open().await;
        let [first, second] = [register(&lab, &db, "a").await.id, register(&lab, &db, "b").await.id];
        let scope = SyncScope::Devices(vec![first, second]);
        let devices = [synced(&lab, first, SyncOutcome::Deferred), synced(&lab, second, SyncOutcome::Deferred)];
        let (operation, _) = db.begin_sync_operation(&scope, &devices, event("devices.sync")).await.unwrap();
        db.devices_woken(&[first]).await.unwrap();
        assert_eq!(db.sync_operation(operation.id).await.unwrap().counts.woken, 1);
        let end = (SyncOutcome::Synchronised, None);
        for (device, whole) in [(first, false), (second, true)] {
            let ended = db.conclude_syncs_of(device, lab.now(), end, whole).await.unwrap().ended;
            assert_eq!(ended, [operation.id]);
        }
        assert_eq!(db.sync_operation(operation.id).await.unwrap().finished_at, Some(lab.now()));
    }

    async fn a_sync_of_nobody_ends_at_once_and_the_servers_own_when_it_is_told(lab: Lab) {
        let db = lab.open().await;
        let none = SyncScope::Group(group("/"));
        let (empty, _) = db.begin_sync_operation(&none, &[], event("x")).await.unwrap();
        assert_eq!(empty.finished_at, Some(lab.now()));
        let (server, _) = db.begin_sync_operation(&SyncScope::Server, &[], event("x")).await.unwrap();
        assert_eq!(server.finished_at, None);
        let over = db.finish_server_sync(server.id, Some("no")).await.unwrap();
        assert!(over.finished_at.is_some() && over.failure.as_deref() == Some("no"));
    }

    async fn a_message_waits_until_the_device_has_it_or_its_time_is_over(lab: Lab) {
        let db = lab.open().await;
        let device = register(&lab, &db, "d").await.id;
        let expires_at = lab.now().checked_add(LONG).ok();
        let new = NewMessage {
            kind: "notice".to_owned(), summary: "Hello".to_owned(), details: json!({ "text": "x" }), expires_at,
        };
        let unknown = DeviceId::new(lab.now());
        assert_eq!(db.send_message(&[device, unknown], &new, Some(event("message.sent"))).await.unwrap(), 1);
        lab.pass(Duration::from_secs(1));
        db.send_message(&[device], &new, None).await.unwrap();
        let waiting = db.waiting_messages(device, 10).await.unwrap();
        assert_eq!((waiting.len(), waiting[0].outcome, &waiting[0].details), (2, MessageOutcome::Waiting, &new.details));
        assert_eq!(db.acknowledge_messages(device, &[waiting[0].id]).await.unwrap(), 1);
        assert_eq!(db.acknowledge_messages(device, &[waiting[0].id]).await.unwrap(), 0, "repeated");
        assert_eq!(db.acknowledge_messages(unknown, &[waiting[1].id]).await.unwrap(), 0, "another's");
        lab.pass(LONG);
        assert_eq!(db.waiting_messages(device, 10).await.unwrap(), []);
        assert_eq!(db.expire_messages().await.unwrap(), 1);

        let own = Message {
            id: MessageId::new(lab.now()), direction: Direction::FromDevice, kind: "sync-request".to_owned(),
            outcome: MessageOutcome::Received, ..waiting[0].clone()
        };
        assert!(db.keep_message(&own).await.unwrap());
        assert!(!db.keep_message(&own).await.unwrap(), "devices repeat what was not acknowledged");
        let first = db.messages(device, None, None, &Page::first(2)).await.unwrap();
        let outcomes: Vec<_> = first.items.iter().map(|message| message.outcome).collect();
        assert_eq!(outcomes, [MessageOutcome::Received, MessageOutcome::Expired]);
        let rest = db.messages(device, None, None, &Page { limit: 2, after: first.next }).await.unwrap();
        assert_eq!((rest.items.len(), rest.items[0].outcome), (1, MessageOutcome::Acknowledged));
        let from = db.messages(device, Some(Direction::FromDevice), None, &Page::default()).await.unwrap();
        assert_eq!(from.items, [db.message(device, own.id).await.unwrap()]);
        assert_eq!(db.prune_messages(lab.now()).await.unwrap(), 2);
    }

    async fn a_task_has_one_outcome_on_each_device(lab: Lab) {
        let db = lab.open().await;
        let [first, second, third] =
            [register(&lab, &db, "a").await.id, register(&lab, &db, "b").await.id, register(&lab, &db, "c").await.id];
        let expires_at = lab.now().checked_add(LONG).ok();
        let new = NewTask { action: name("restart"), parameters: json!({ "n": 1 }), expires_at };
        let task = db.add_task(&new, &[(first, None), (second, None), (first, None), (third, Some("too old".to_owned()))], event("task.added")).await.unwrap();
        assert_eq!((task.counts.waiting, task.counts.failed, task.actor.as_str()), (2, 1, "tester"));
        assert_eq!(db.open_tasks_of(third, 10).await.unwrap(), [], "it cannot take it");
        let mut open = OpenTask { id: task.id, action: new.action.clone(), parameters: json!({ "n": 1 }), expires_at, sent: false };
        assert_eq!(db.open_tasks_of(first, 10).await.unwrap(), [open.clone()]);
        open.sent = true;
        assert_eq!(db.mark_tasks_sent(first, &[task.id]).await.unwrap(), 1);
        assert_eq!(db.mark_tasks_sent(first, &[task.id]).await.unwrap(), 0);
        assert_eq!(db.open_tasks_of(first, 10).await.unwrap(), [open], "sent again until it is answered");
        let answer = db.set_task_outcome(first, task.id, TaskState::Succeeded, "done").await.unwrap();
        assert_eq!(answer, TaskAnswer { action: name("restart"), news: true });
        assert!(!db.set_task_outcome(first, task.id, TaskState::Failed, "other").await.unwrap().news);
        let never = db.set_task_outcome(DeviceId::new(lab.now()), task.id, TaskState::Succeeded, "x").await.unwrap_err();
        assert!(matches!(never, Error::NotFound { .. }));
        lab.pass(LONG);
        assert_eq!(db.open_tasks_of(second, 10).await.unwrap(), []);
        assert_eq!(db.expire_tasks().await.unwrap(), 1);
        let counts = db.task(task.id).await.unwrap().counts;
        assert_eq!((counts.succeeded, counts.expired, counts.waiting), (1, 1, 0));
        assert!(!db.set_task_outcome(second, task.id, TaskState::Expired, "").await.unwrap().news);
        assert!(db.set_task_outcome(second, task.id, TaskState::Failed, "late").await.unwrap().news, "it ran there all the same");
        let listed = db.task_devices(task.id, Some(TaskState::Failed), &Page::default()).await.unwrap().items;
        let listed: Vec<_> = listed.iter().map(|one| (one.device, one.outcome.as_deref())).collect();
        assert_eq!(listed, [(second, Some("late")), (third, Some("too old"))]);
        assert_eq!(db.tasks(&Page::default()).await.unwrap().items.len(), 1);
    }

    async fn a_user_goes_through_the_colours(lab: Lab) {
        let db = lab.open().await;
        add_groups(&db, &["/sales"]).await;
        let device = enrolled(&lab, &db, "d").await.id;
        let user = add_user(&db, "ann", "/sales").await;
        assert_eq!(colour(&lab, &user), "grey no-subscription");
        let ends = lab.now().checked_add(LONG).unwrap();
        assert!(matches!(
            db.create_activation_code(user.id, ends, event("x")).await.unwrap_err(),
            Error::Conflict(why) if why.contains("issue one first")
        ));
        let user = db.issue_subscription(user.id, None, event("subscription.issued")).await.unwrap();
        assert_eq!(colour(&lab, &user), "blue issued");
        let (_, code) = db.create_activation_code(user.id, ends, event("code.made")).await.unwrap();
        assert_eq!(code.len(), 23);
        assert_eq!(activate(&lab, &db, device, "00000-00000-00000-00000").await, Activation::Unknown);
        let typed = code.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
        let Activation::Activated(user) = activate(&lab, &db, device, &typed).await else { panic!() };
        let again = activate(&lab, &db, device, &code).await;
        assert!(matches!(again, Activation::Used(_)), "a code has one use: {again:?}");
        assert_eq!((colour(&lab, &user), user.device), ("red changed".to_owned(), Some(device)));
        let user = *user;
        lab.pass(Duration::from_secs(1));
        let before = user.changed_at - Duration::from_secs(1);
        assert_eq!(db.users_published(&[user.id], before).await.unwrap(), 0, "it changed after it was read");
        assert_eq!(db.users_published(&[user.id], lab.now()).await.unwrap(), 1);
        assert_eq!(colour(&lab, &db.user(user.id).await.unwrap()), "orange sent");
        let before = lab.now() - Duration::from_secs(1);
        assert_eq!(db.users_synced_by(device, before, None).await.unwrap(), 0, "it was there before it was published");
        lab.pass(Duration::from_secs(1));
        assert_eq!(db.users_synced_by(device, lab.now(), None).await.unwrap(), 1);
        assert_eq!(db.users_synced_by(device, lab.now(), None).await.unwrap(), 0, "nothing changed");
        let user = db.user(user.id).await.unwrap();
        assert_eq!(colour(&lab, &user), "green in-sync");
        db.users_synced_by(device, lab.now(), Some("the disk is full")).await.unwrap();
        let failed = db.user(user.id).await.unwrap().status(lab.now());
        assert_eq!((failed.mark, failed.reason.as_str()), (true, "the disk is full"));
        db.users_synced_by(device, lab.now(), None).await.unwrap();

        // Keys of the group, then of its own.
        lab.pass(Duration::from_secs(1));
        let keys = KeySets::from([(name("vpn"), vec![Key {
            id: "k".to_owned(), name: "K".to_owned(), parameters: json!({}),
        }])]);
        let mut sales = db.group(&group("/sales")).await.unwrap();
        sales.keys = keys.clone();
        db.update_group(&sales, event("group.changed")).await.unwrap();
        let user = db.user(user.id).await.unwrap();
        assert_eq!(colour(&lab, &user), "red changed");
        let user = db.update_user(&User { keys, ..user }, event("user.changed")).await.unwrap();
        lab.pass(Duration::from_secs(1));
        db.users_published(&[user.id], lab.now()).await.unwrap();
        db.users_synced_by(device, lab.now(), None).await.unwrap();
        let user = db.user(user.id).await.unwrap();
        assert_eq!(colour(&lab, &user), "purple own-keys");
        let revoked = db.revoke_subscription(user.id, event("subscription.revoked")).await.unwrap();
        assert_eq!((colour(&lab, &revoked), revoked.device), ("grey no-subscription".to_owned(), None));
        assert_eq!(db.activation_codes(user.id).await.unwrap(), []);
    }

    async fn an_attempt_to_activate_has_one_answer_however_often_it_comes(lab: Lab) {
        let db = lab.open().await;
        let (device, old) = (enrolled(&lab, &db, "d").await.id, enrolled(&lab, &db, "old").await.id);
        let user = add_user(&db, "ann", "/").await;
        db.issue_subscription(user.id, lab.now().checked_add(LONG * 2).ok(), event("x")).await.unwrap();
        let code = async || {
            let ends = lab.now().checked_add(LONG).unwrap();
            db.create_activation_code(user.id, ends, event("x")).await.unwrap().1
        };
        assert!(activate(&lab, &db, old, &code().await).await.is_activated());
        let new = NewActivation { id: MessageId::new(lab.now()), device, code: code().await };
        let first = db.activate(&new, |_| event("user.activated")).await.unwrap().unwrap();
        assert!(first.end.is_activated());
        assert_eq!(first.before, Some(old));
        let answer = db.waiting_messages(device, 10).await.unwrap();
        assert_eq!((answer.len(), answer[0].id, &answer[0].details["activated"]), (1, new.id.answer(), &json!(true)));
        assert_eq!(db.activate(&new, |_| event("x")).await.unwrap(), None);
        assert_eq!(db.waiting_messages(device, 10).await.unwrap(), answer);
        db.acknowledge_messages(device, &[new.id.answer()]).await.unwrap();
        assert_eq!(db.activate(&new, |_| event("x")).await.unwrap(), None);
        assert_eq!(db.waiting_messages(device, 10).await.unwrap().len(), 1, "it asks, so it has no answer");
        let texts = db.messages(device, None, None, &Page::default()).await.unwrap().items;
        assert!(texts.iter().all(|one| !format!("{one:?}").contains(&new.code)), "a code is a secret");

        let late = code().await;
        lab.pass(LONG);
        assert!(matches!(activate(&lab, &db, device, &late).await, Activation::Expired(_)));
        let good = code().await;
        lab.pass(LONG - Duration::from_secs(1));
        // The one whose time was over counts too.
        for _ in 0..9 {
            assert_eq!(activate(&lab, &db, device, "guess").await, Activation::Unknown);
        }
        assert_eq!(activate(&lab, &db, device, &good).await, Activation::TooMany);
        assert_eq!(activate(&lab, &db, old, "guess").await, Activation::Unknown, "each device for itself");
        lab.pass(Duration::from_secs(3_600));
        let other = code_without_end(&lab, &db, &user).await;
        assert_eq!(activate(&lab, &db, device, &other).await, Activation::NoSubscription("ann".to_owned()));
    }

    async fn devices_are_found_by_the_group_of_their_users(lab: Lab) {
        let db = lab.open().await;
        add_groups(&db, &["/a", "/b"]).await;
        let device = enrolled(&lab, &db, "d").await.id;
        let user = add_user(&db, "ann", "/a").await;
        db.issue_subscription(user.id, None, event("x")).await.unwrap();
        assert_eq!(db.devices_of_users_in(&group("/a")).await.unwrap(), []);
        let ends = lab.now().checked_add(LONG).unwrap();
        let (_, code) = db.create_activation_code(user.id, ends, event("x")).await.unwrap();
        activate(&lab, &db, device, &code).await;
        assert_eq!(db.devices_of_users_in(&group("/")).await.unwrap(), [device]);
        assert_eq!(db.devices_of_users_in(&group("/b")).await.unwrap(), []);
        db.users_published(&[user.id], lab.now()).await.unwrap();
        lab.pass(Duration::from_secs(1));
        db.move_group(&group("/a"), &group("/b/a"), event("x")).await.unwrap();
        assert_eq!(db.devices_of_users_in(&group("/b")).await.unwrap(), [device]);
        let user = db.user(user.id).await.unwrap();
        assert_eq!(colour(&lab, &user), "red changed", "other groups give it keys");
    }

    async fn users_are_listed_and_unique(lab: Lab) {
        let db = lab.open().await;
        add_groups(&db, &["/a", "/a/b", "/ab"]).await;
        for (user, path) in [("one", "/a"), ("two", "/a/b"), ("three", "/ab")] {
            lab.pass(Duration::from_millis(1));
            add_user(&db, user, path).await;
        }
        let filter = UserFilter { group: Some(group("/a")), ..UserFilter::default() };
        let listed = db.users(&filter, &Page::default()).await.unwrap().items;
        assert_eq!(listed.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
        let filter = UserFilter { name: Some("three".to_owned()), ..UserFilter::default() };
        let three = db.users(&filter, &Page::default()).await.unwrap().items.remove(0);
        let taken = User { name: "one".to_owned(), ..three.clone() };
        assert!(matches!(db.update_user(&taken, event("x")).await.unwrap_err(), Error::Exists { .. }));
        let by = db.remove_group(&group("/ab"), event("x")).await.unwrap_err();
        assert!(matches!(by, Error::InUse { by, .. } if by == ["user three"]));
        db.remove_user(three.id, event("x")).await.unwrap();
        db.remove_group(&group("/ab"), event("x")).await.unwrap();
    }
}
