use super::*;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn code<T: std::fmt::Debug>(result: Result<T, Failure>) -> String {
    result.unwrap_err().code
}

fn grant(interface: &str, names: Option<&[&str]>, allow: &[&str]) -> Capability {
    Capability {
        capability: interface.to_owned(),
        names: names.map(|names| names.iter().map(|one| name(one)).collect()),
        allow: allow.iter().map(|one| (*one).to_owned()).collect(),
        reason: String::new(),
    }
}

fn context(allowed: &[Capability], allow_removal: bool) -> DesiredFilesContext {
    let targets = ["b", "a"].map(|one| BoundTarget { name: name(one), labels: Vec::new() });
    DesiredFilesContext::new(targets.into(), &[], allowed, allow_removal)
}

#[test]
fn targets_are_those_granted_and_none_is_not_all() {
    let all = context(&[grant(INTERFACE, None, &[])], true);
    assert_eq!(all.targets(vec!["b".into(), "a".into(), "b".into()]).unwrap().len(), 2);
    assert_eq!(code(all.targets(Vec::new())), "targets");
    assert_eq!(code(all.targets(vec!["a".to_owned(); 1_001])), "targets");
    assert_eq!(code(all.targets(vec!["c".into()])), "target");
    let one = context(&[grant(INTERFACE, Some(&["a"]), &[])], true);
    assert_eq!(code(one.targets(vec!["b".into()])), "target");
    assert_eq!(code(context(&[], true).authorise()), "grant");
}

#[test]
fn removal_needs_the_power_and_the_sync() {
    assert!(context(&[grant(INTERFACE, None, &[PRUNE])], true).removal);
    assert!(!context(&[grant(INTERFACE, None, &[PRUNE])], false).removal);
    assert!(!context(&[grant(INTERFACE, None, &[])], true).removal);
    let mixed = context(&[grant(INTERFACE, None, &[]), grant(INTERFACE, Some(&["a"]), &[PRUNE])], true);
    assert_eq!(mixed.prunable.into_iter().collect::<Vec<_>>(), [name("a")]);
}

#[test]
fn paths_that_lead_out_or_to_the_mark_are_refused() {
    for bad in ["/etc/passwd", "..", "a/../../b", "a//b", ".syncline", ".syncline/store.json", "a\0"] {
        assert_eq!(code(folder(bad.to_owned())), "path", "{bad:?}");
    }
    assert_eq!(code(file_path(String::new())), "path");
    assert!(folder(String::new()).unwrap().is_root());
    assert!(file_path("a/.syncline".to_owned()).is_ok());
}

#[test]
fn patterns_are_compiled_before_they_are_believed() {
    let patterns =
        |list: &[&str]| check_patterns(&list.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
    assert!(patterns(&["**/*.zip", "a?[0-9]{x,y}", "\\*"]).is_ok());
    assert_eq!(code(patterns(&["[a-"])), "pattern");
    assert!(patterns(&["ok", "{a"]).unwrap_err().message.contains("{a"));
    assert_eq!(code(patterns(&["a".repeat(1_025).as_str()])), "pattern");
    assert_eq!(code(check_patterns(&vec!["a".to_owned(); 1_001])), "pattern");
}

#[test]
fn digests_are_of_blake3() {
    let digits = "ab".repeat(32);
    assert_eq!(check_digest(Some(format!("blake3:{digits}"))).unwrap(), Some([0xab; 32]));
    assert_eq!(check_digest(None).unwrap(), None);
    for bad in [digits.clone(), "blake3:".to_owned(), format!("blake3:{}", digits.to_uppercase())] {
        assert_eq!(check_digest(Some(bad)).unwrap_err().kind, FailureKind::Invalid);
    }
    assert_eq!(check_digest(Some("md5:00".to_owned())).unwrap_err().kind, FailureKind::Unsupported);
}

#[test]
fn stages_are_0_to_15() {
    assert!(check_stage(15).is_ok());
    assert_eq!(code(check_stage(16)), "stage");
}

fn file(path: &str, from: &str) -> DeclaredFile {
    DeclaredFile {
        path: RelPath::new(path).unwrap(),
        source: name("s"),
        source_path: RelPath::new(from).unwrap(),
        digest: None,
    }
}

#[test]
fn one_path_has_one_file_and_repeating_it_is_fine() {
    assert!(check_conflicts(&[file("a", "x"), file("a", "x"), file("b", "x")]).is_ok());
    assert_eq!(code(check_conflicts(&[file("a", "x"), file("a", "y")])), "conflict");
}

#[test]
fn batches_for_the_same_targets_share_one_set() {
    let mut context = context(&[grant(INTERFACE, None, &[])], true);
    for batch in 0..3 {
        let targets = context.targets(vec!["a".into()]).unwrap();
        context.declare_files(targets, vec![file(&batch.to_string(), "x")], 2);
    }
    let targets = context.targets(vec!["b".into()]).unwrap();
    context.declare_files(targets, vec![file("3", "x")], 2);
    let declared = context.take();
    assert_eq!(declared.files.iter().map(|one| one.files.len()).collect::<Vec<_>>(), [3, 1]);
}

#[test]
fn the_host_keeps_only_so_much() {
    let mut context = context(&[grant(INTERFACE, None, &[])], true);
    assert!(context.charge(1_000, MAX_DECLARED / 2).is_ok());
    assert_eq!(code(context.charge(1_000, MAX_DECLARED / 2)), "declared");
}
