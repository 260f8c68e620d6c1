//! Applying, with every write of it as the last one before a crash.

use std::{cell::RefCell, fs, path::PathBuf, sync::Mutex};

use syncline_protocol::{
    hash::config_hash,
    items::ApplicationState,
    opamp::{AgentConfigFile, AgentConfigMap, AgentRemoteConfig, RemoteConfigStatuses},
};
use tempfile::TempDir;

use super::{
    command::{Call, Commands, Failed},
    *,
};
use crate::disk::interruption;

/// Commands that are counted; a file with `bad` in it fails its check, one with `stuck` its reload.
#[derive(Default)]
struct Counting {
    checks: Mutex<u32>,
    reloads: Mutex<Vec<String>>,
}

impl Commands for Counting {
    fn run(&self, call: Call<'_>) -> Result<String, Failed> {
        let text = fs::read_to_string(&call.environment[0].1).unwrap_or_default();
        let failed = |why: &str| Err(Failed { why: why.to_owned(), output: "hunter2".to_owned() });
        if call.command[0] == "/check" {
            *self.checks.lock().unwrap() += 1;
            return if text.contains("bad") { failed("/check: exit status: 1") } else { Ok(String::new()) };
        }
        self.reloads.lock().unwrap().push(text.clone());
        if text.contains("stuck") { failed("/reload: exit status: 2") } else { Ok(String::new()) }
    }
}

struct Device {
    folder: TempDir,
    state: StateFolder,
    config: Config,
    commands: Counting,
    clock: Clock,
}

thread_local! {
    static RETRY: RefCell<u64> = const { RefCell::new(0) };
}

impl Device {
    fn new(check: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("till.conf");
        let text = format!(
            "[applications.till]\nfile = {file:?}\ncheck = {check}\nreload = [\"/reload\"]\nmode = \"0640\"\n{more}"
        );
        let config = Config::parse(&text).unwrap();
        let state = StateFolder::open(&folder.path().join("state")).unwrap();
        Self { folder, state, config, commands: Counting::default(), clock: Clock::new(|| 1_000) }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("till.conf")
    }

    fn text(&self) -> Option<String> {
        fs::read_to_string(self.file()).ok()
    }

    fn applier(&self) -> Applier<'_> {
        Applier { state: &self.state, config: &self.config, commands: &self.commands, clock: &self.clock }
    }

    fn offer(&self, documents: &[(&str, &str)]) -> Result<()> {
        Offer::accept(&self.state, &offered(documents))?;
        self.applier().work().map(drop)
    }

    fn reloads(&self) -> usize {
        self.commands.reloads.lock().unwrap().len()
    }

    /// State, error and drift of the one application.
    fn found(&self) -> (ApplicationState, String, bool) {
        let found = self.applier().look().unwrap();
        let one = &found.applications[0];
        (one.state(), one.error.clone(), one.drift)
    }
}

fn offered(documents: &[(&str, &str)]) -> AgentRemoteConfig {
    let file = |body: &str| AgentConfigFile { body: body.to_owned().into(), content_type: String::new() };
    let map = documents.iter().map(|(name, body)| ((*name).to_owned(), file(body))).collect();
    let config = AgentConfigMap { config_map: map };
    let hash = config_hash(config.documents(), RETRY.with_borrow(|retry| *retry)).to_vec();
    AgentRemoteConfig { config: Some(config), config_hash: hash }
}

const BEFORE: &str = "[\"/check\", \"{file}\"]";
const AFTER: &str = "[\"/check\"]";

#[test]
fn a_document_is_applied_once() {
    for check in [BEFORE, AFTER] {
        let device = Device::new(check, "");
        device.offer(&[("till", "one")]).unwrap();
        assert_eq!((device.text().as_deref(), device.reloads()), (Some("one"), 1));
        device.applier().work().unwrap();
        device.offer(&[("till", "one")]).unwrap();
        assert_eq!((device.reloads(), device.found().0), (1, ApplicationState::Applied));
        let found = device.applier().look().unwrap();
        assert_eq!(found.effective.config_map["till"].body, "one");
        assert_eq!(found.applications[0].applied_at_unix_ms, 1_000);
        assert_eq!(found.status.unwrap().status(), RemoteConfigStatuses::Applied);
    }
}

#[test]
fn a_failing_check_leaves_or_brings_back_the_last_good_file_without_a_reload() {
    for check in [BEFORE, AFTER] {
        let device = Device::new(check, "");
        device.offer(&[("till", "one")]).unwrap();
        device.offer(&[("till", "bad")]).unwrap();
        assert_eq!((device.text().as_deref(), device.reloads()), (Some("one"), 1));
        let (state, error, drift) = device.found();
        assert_eq!(
            (state, error.as_str(), drift),
            (ApplicationState::Failed, "/check: exit status: 1", false)
        );
        let checks = *device.commands.checks.lock().unwrap();
        device.applier().work().unwrap();
        assert_eq!(*device.commands.checks.lock().unwrap(), checks, "the same offer is not tried again");
        RETRY.set(1);
        device.offer(&[("till", "bad")]).unwrap();
        RETRY.set(0);
        assert!(*device.commands.checks.lock().unwrap() > checks, "another offer is");
        device.offer(&[("till", "one")]).unwrap();
        assert_eq!((device.found().0, device.reloads()), (ApplicationState::Applied, 1));
    }
}

#[test]
fn what_a_person_wrote_is_the_last_good_file_of_the_first_document() {
    let device = Device::new(AFTER, "");
    fs::write(device.file(), "by hand").unwrap();
    device.offer(&[("till", "bad")]).unwrap();
    assert_eq!(device.text().as_deref(), Some("by hand"));
    let fresh = Device::new(AFTER, "");
    fresh.offer(&[("till", "bad")]).unwrap();
    assert_eq!(fresh.text(), None);
}

#[test]
fn a_failing_reload_goes_back_and_reloads_that() {
    let device = Device::new(AFTER, "");
    device.offer(&[("till", "one")]).unwrap();
    device.offer(&[("till", "stuck")]).unwrap();
    assert_eq!(*device.commands.reloads.lock().unwrap(), ["one", "stuck", "one"]);
    assert_eq!((device.text().as_deref(), device.found().0), (Some("one"), ApplicationState::Failed));
}

#[test]
fn a_withdrawn_document_is_taken_away_or_kept() {
    for (more, left) in [("", None), ("keep-on-withdraw = true", Some("one"))] {
        let device = Device::new(AFTER, more);
        device.offer(&[("till", "one")]).unwrap();
        device.offer(&[]).unwrap();
        assert_eq!((device.text().as_deref(), device.found().0), (left, ApplicationState::Withdrawn));
        assert_eq!(device.reloads(), if left.is_some() { 1 } else { 2 });
        device.applier().forget_withdrawn().unwrap();
        device.applier().work().unwrap();
        assert!(device.applier().look().unwrap().applications.is_empty());
        assert!(device.state.list("documents").unwrap().is_empty(), "nothing is kept for nobody");
    }
}

#[test]
fn what_someone_else_changed_is_seen_and_repaired() {
    let device = Device::new(AFTER, "");
    device.offer(&[("till", "one")]).unwrap();
    for break_it in
        [|path: &Path| fs::write(path, "edited").unwrap(), |path: &Path| fs::remove_file(path).unwrap()]
    {
        break_it(&device.file());
        let before = device.reloads();
        assert_eq!(device.found(), (ApplicationState::Applied, String::new(), true));
        let drift = device.applier().work().unwrap();
        assert_eq!(drift.iter().map(Found::drift).collect::<Vec<_>>(), [true], "who put it back says so");
        assert_eq!(device.found(), (ApplicationState::Applied, String::new(), false));
        assert_eq!((device.text().as_deref(), device.reloads()), (Some("one"), before + 1));
    }
}

#[test]
fn drift_is_repaired_while_another_document_does_not_work() {
    let device = Device::new(AFTER, "");
    device.offer(&[("till", "one")]).unwrap();
    device.offer(&[("till", "bad")]).unwrap();
    fs::write(device.file(), "edited").unwrap();
    assert_eq!(device.applier().work().unwrap().len(), 1);
    assert_eq!((device.text().as_deref(), device.found().0), (Some("one"), ApplicationState::Failed));
    assert!(device.applier().work().unwrap().is_empty());
}

#[test]
fn a_folder_that_cannot_be_written_is_a_failure_with_its_path() {
    let mut device = Device::new(AFTER, "");
    if let Some(application) = device.config.applications.get_mut("till") {
        application.file = "/proc/till.conf".into();
    }
    device.offer(&[("till", "one")]).unwrap();
    let (state, error, _) = device.found();
    assert_eq!(state, ApplicationState::Failed);
    assert!(error.contains("/proc/till.conf"), "{error}");
}

#[test]
fn applications_that_are_not_configured_touch_nothing() {
    let device = Device::new(AFTER, "");
    for name in ["../../etc/passwd", "/etc/passwd", "..", "", "a/b"] {
        device.offer(&[(name, "root::0:0")]).unwrap();
        assert_eq!(device.found().0, ApplicationState::Unsupported, "{name}");
    }
    assert_eq!(fs::read_dir(device.folder.path()).unwrap().count(), 1, "nothing but the state folder");
}

#[test]
fn hostile_offers_are_refused_as_a_whole() {
    let device = Device::new(AFTER, "");
    device.offer(&[("till", "one")]).unwrap();
    let huge = "x".repeat(DOCUMENT_LIMIT + 1);
    let large = "x".repeat(DOCUMENT_LIMIT);
    let names: Vec<String> = (0..9).map(|at| at.to_string()).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), large.as_str())).collect();
    for documents in [&[("till", huge.as_str())][..], &[("a\0b", "x")], &[("a\nb", "x")], &many] {
        assert!(matches!(device.offer(documents), Err(Error::Offer(_))));
    }
    for bad in [
        AgentRemoteConfig { config: None, config_hash: vec![1] },
        AgentRemoteConfig { config_hash: Vec::new(), ..offered(&[]) },
    ] {
        assert!(Offer::accept(&device.state, &bad).is_err());
    }
    assert_eq!((device.text().as_deref(), device.found().0), (Some("one"), ApplicationState::Applied));
    device.offer(&[("till", "nul \0 is a byte")]).unwrap();
    assert_eq!(device.text().as_deref(), Some("nul \0 is a byte"));
}

/// Stops the agent after each number of writes in turn, starts it again, and looks how it ended.
fn killed_everywhere(
    check: &str,
    from: &[(&str, &str)],
    to: &[(&str, &str)],
    end: Option<&str>,
    most: usize,
) {
    for steps in 0.. {
        let device = Device::new(check, "");
        device.offer(from).unwrap();
        let before = device.reloads();
        interruption::after(Some(steps));
        let first = device.offer(to);
        let killed = interruption::happened();
        interruption::after(None);
        assert!(killed || first.is_ok());
        // The next start; then the server offers again what it has no report of.
        device.applier().work().unwrap();
        device.offer(to).unwrap();
        device.applier().work().unwrap();
        assert_eq!(device.text().as_deref(), end, "killed after {steps} writes");
        let ran = device.reloads() - before;
        assert!(ran <= most, "killed after {steps} writes: {ran} reloads");
        assert!(ran >= most - 1 || end == Some("one"), "killed after {steps} writes: {ran} reloads");
        assert_eq!(fs::read_dir(device.folder.path()).unwrap().count(), 1 + usize::from(end.is_some()));
        if !killed {
            assert!(ran < most, "not killed: {ran} reloads");
            assert!(steps > 5, "{steps} writes were tried");
            return;
        }
    }
}

#[test]
fn killed_at_any_write_a_change_ends_right() {
    for check in [BEFORE, AFTER] {
        killed_everywhere(check, &[], &[("till", "two")], Some("two"), 2);
        killed_everywhere(check, &[("till", "one")], &[("till", "two")], Some("two"), 2);
    }
}

#[test]
fn killed_at_any_write_a_bad_document_ends_with_the_last_good_one() {
    for check in [BEFORE, AFTER] {
        killed_everywhere(check, &[("till", "one")], &[("till", "bad")], Some("one"), 1);
    }
}

#[test]
fn killed_at_any_write_a_withdrawal_ends_right() {
    killed_everywhere(AFTER, &[("till", "one")], &[], None, 2);
}
