//! What the settings mean for the collections and servers that are there. No call to the host is made here.

use std::collections::BTreeSet;

use syncline_plugin::{Failure, Labels, Result, Source, Target};

use crate::settings::{Rule, Settings};

/// The highest stage that a rule can name: one later is left for the manifest.
const LAST_STAGE: u8 = 14;

/// All that is to be declared.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan<'a> {
    pub(crate) trees: Vec<PlannedTree<'a>>,
    pub(crate) manifest: Option<PlannedManifest<'a>>,
    pub(crate) prunes: Vec<PlannedPrune<'a>>,
    pub(crate) keep: &'a [String],
    /// Servers that a rule concerns.
    pub(crate) filled: Vec<&'a str>,
    /// Servers that none does.
    pub(crate) left_alone: Vec<&'a str>,
}

/// Files of one collection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PlannedTree<'a> {
    pub(crate) collection: &'a str,
    pub(crate) servers: Vec<&'a str>,
    pub(crate) folder: &'a str,
    pub(crate) include: &'a [String],
    pub(crate) exclude: &'a [String],
    pub(crate) stage: u8,
}

/// A folder below which what nobody declares is removed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PlannedPrune<'a> {
    pub(crate) folder: &'a str,
    pub(crate) servers: BTreeSet<&'a str>,
}

/// The list of a server's files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PlannedManifest<'a> {
    pub(crate) path: &'a str,
    pub(crate) folder: &'a str,
    pub(crate) stage: u8,
}

/// # Errors
///
/// [`Failure::settings`] where a rule names what is not there, or nothing at all is left to do: a rule that silently does
/// nothing is most often a misspelt one.
pub(crate) fn decide<'a>(
    settings: &'a Settings,
    bound: &'a [Source],
    targets: &'a [Target],
) -> Result<Plan<'a>> {
    let mut trees = Vec::new();
    let mut filled = BTreeSet::new();
    let mut prunes = Vec::new();
    for (number, rule) in (1..).zip(&settings.rules) {
        let servers = servers(number, rule, targets)?;
        if rule.stage > LAST_STAGE {
            let message = format!("rule {number}: stage {} is too high: use 0 to {LAST_STAGE}", rule.stage);
            return Err(Failure::settings(message));
        }
        for collection in collections(number, rule, bound)? {
            if !servers.is_empty() {
                trees.push(PlannedTree {
                    collection,
                    servers: servers.clone(),
                    folder: &rule.folder,
                    include: &rule.include,
                    exclude: &rule.exclude,
                    stage: rule.stage,
                });
            }
        }
        if rule.prune {
            prune(&mut prunes, &rule.folder, &servers);
        }
        filled.extend(servers);
    }
    if filled.is_empty() {
        return Err(Failure::settings(
            "no rule concerns any server of this sync: add a rule, or give the servers the labels that the rules ask for",
        ));
    }
    let after_all = trees.iter().map(|tree| tree.stage + 1).max().unwrap_or(1);
    let manifest = settings.manifest.path().map(|path| PlannedManifest {
        path,
        folder: &settings.manifest_folder,
        stage: after_all,
    });
    let left_alone = targets.iter().map(|t| t.name.as_str()).filter(|name| !filled.contains(name)).collect();
    let filled: Vec<_> = filled.into_iter().collect();
    for folder in &settings.prune {
        prune(&mut prunes, folder, &filled);
    }
    Ok(Plan { trees, manifest, prunes, keep: &settings.keep, filled, left_alone })
}

/// One entry for a folder, however many rules name it.
fn prune<'a>(prunes: &mut Vec<PlannedPrune<'a>>, folder: &'a str, servers: &[&'a str]) {
    if servers.is_empty() {
        return;
    }
    match prunes.iter_mut().find(|one| one.folder == folder) {
        Some(known) => known.servers.extend(servers),
        None => prunes.push(PlannedPrune { folder, servers: servers.iter().copied().collect() }),
    }
}

fn collections<'a>(number: usize, rule: &'a Rule, bound: &'a [Source]) -> Result<Vec<&'a str>> {
    let names = || bound.iter().map(|source| source.name.as_str());
    if let Some(missing) = rule.collections.iter().find(|name| !names().any(|have| have == *name)) {
        return Err(Failure::settings(format!(
            "rule {number}: collection {missing:?} is not bound to this sync: bind it as a source, or name one of: {}",
            list(names())
        )));
    }
    if bound.is_empty() {
        let message =
            "no collection is bound to this sync: bind those that the servers should hold as its sources";
        return Err(Failure::settings(message));
    }
    let wanted = |name: &&str| rule.collections.is_empty() || rule.collections.iter().any(|one| one == name);
    Ok(names().filter(wanted).collect())
}

/// Those of the rule that have its labels. A run can be for fewer servers than the sync has, and labels can change: a rule
/// whose labels fit none is no mistake, but a name that fits none is.
fn servers<'a>(number: usize, rule: &Rule, targets: &'a [Target]) -> Result<Vec<&'a str>> {
    let names = || targets.iter().map(|target| target.name.as_str());
    if let Some(pattern) = rule.servers.iter().find(|pattern| !names().any(|name| matches(pattern, name))) {
        return Err(Failure::settings(format!(
            "rule {number}: {pattern:?} matches no server of this sync: correct it, or add the server to the sync's \
             targets, which are: {}",
            list(names())
        )));
    }
    let named =
        |name: &str| rule.servers.is_empty() || rule.servers.iter().any(|pattern| matches(pattern, name));
    let labelled = |labels: &Labels| labels.match_all(&rule.labels);
    Ok(targets.iter().filter(|t| named(&t.name) && labelled(&t.labels)).map(|t| t.name.as_str()).collect())
}

/// At most ten names, for a message.
fn list<'a>(mut names: impl Iterator<Item = &'a str>) -> String {
    let shown: Vec<_> = names.by_ref().take(10).collect();
    let rest = names.count();
    match (shown.is_empty(), rest) {
        (true, _) => "(none)".to_owned(),
        (false, 0) => shown.join(", "),
        (false, rest) => format!("{} and {rest} more", shown.join(", ")),
    }
}

/// Whether a name matches a pattern in which `*` stands for any text and `?` for one character.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where the last `*` stood, and how much of the name it had taken: the only place to come back to.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                n = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use syncline_plugin::settings::parse;

    use super::*;

    fn bound(names: &[&str]) -> Vec<Source> {
        names.iter().map(|name| Source { name: (*name).to_owned(), labels: Labels::default() }).collect()
    }

    fn servers_in(regions: &[(&str, &str)]) -> Vec<Target> {
        let labels = |region: &&str| [("region", *region)].into_iter().collect();
        regions
            .iter()
            .map(|(name, region)| Target { name: (*name).to_owned(), labels: labels(region) })
            .collect()
    }

    /// What `settings` puts on each server of three, one line a tree; or the message of the failure.
    fn check(settings: &str) -> String {
        let settings: Settings = parse(settings).unwrap();
        let (bound, targets) = (
            bound(&["engines", "patches"]),
            servers_in(&[("site-1", "eu"), ("site-2", "us"), ("lab", "eu")]),
        );
        match decide(&settings, &bound, &targets) {
            Err(failure) => {
                assert_eq!(failure.code(), "settings");
                failure.message().to_owned()
            }
            Ok(plan) => {
                let tree = |t: &PlannedTree<'_>| {
                    format!("{} -> {}:/{} @{}", t.collection, t.servers.join("+"), t.folder, t.stage)
                };
                let manifest = plan
                    .manifest
                    .iter()
                    .map(|m| format!("manifest {} of /{} @{}", m.path, m.folder, m.stage));
                let prune = |p: &PlannedPrune<'_>| {
                    format!(
                        "prune /{} of {}",
                        p.folder,
                        p.servers.iter().copied().collect::<Vec<_>>().join("+")
                    )
                };
                let prunes: Vec<_> = plan.prunes.iter().map(prune).collect();
                let alone = plan.left_alone.iter().map(|name| format!("{name} left alone"));
                plan.trees
                    .iter()
                    .map(tree)
                    .chain(manifest)
                    .chain(prunes)
                    .chain(alone)
                    .collect::<Vec<_>>()
                    .join("\n")
            }
        }
    }

    #[test]
    fn without_rules_everything_goes_everywhere() {
        assert_eq!(check("{}"), "engines -> site-1+site-2+lab:/ @0\npatches -> site-1+site-2+lab:/ @0");
    }

    #[test]
    fn rules_choose_collections_servers_and_folders() {
        let settings = r#"{"rules":[
            {"collections":["patches"],"servers":["site-*"],"folder":"updates","stage":2},
            {"collections":["engines"],"labels":{"region":"us"}}]}"#;
        let expected = "patches -> site-1+site-2:/updates @2\nengines -> site-2:/ @0\nlab left alone";
        assert_eq!(check(settings), expected);
    }

    #[test]
    fn a_rule_prunes_its_folder_on_its_servers_alone() {
        let settings = r#"{"rules":[
            {"collections":["patches"],"servers":["site-1"],"folder":"patches","prune":true},
            {"collections":["patches"],"servers":["site-2"],"folder":"patches","prune":true},
            {"collections":["engines"],"folder":"engines"}],"prune":["all"]}"#;
        let told = check(settings);
        assert!(told.ends_with("prune /patches of site-1+site-2\nprune /all of lab+site-1+site-2"), "{told}");
    }

    #[test]
    fn a_manifest_comes_after_all_that_it_names() {
        let settings =
            r#"{"rules":[{"collections":["patches"],"stage":14}],"manifest":true,"manifest_folder":"pub"}"#;
        assert_eq!(check(settings), "patches -> site-1+site-2+lab:/ @14\nmanifest manifest.json of /pub @15");
    }

    #[test]
    fn rules_that_fit_nothing_are_refused_with_what_there_is() {
        let unbound = check(r#"{"rules":[{},{"collections":["patch"]}]}"#);
        assert!(unbound.starts_with(r#"rule 2: collection "patch" is not bound"#), "{unbound}");
        assert!(unbound.ends_with("engines, patches"), "{unbound}");
        let unmatched = check(r#"{"rules":[{"servers":["lab","site-?","plant-*"]}]}"#);
        assert!(unmatched.starts_with(r#"rule 1: "plant-*" matches no server"#), "{unmatched}");
        assert!(unmatched.ends_with("site-1, site-2, lab"), "{unmatched}");
        assert!(
            check(r#"{"rules":[{"labels":{"region":"asia"}}]}"#).starts_with("no rule concerns any server")
        );
        assert!(check(r#"{"rules":[]}"#).starts_with("no rule concerns any server"));
        assert!(check(r#"{"rules":[{"stage":15}]}"#).starts_with("rule 1: stage 15 is too high"));
    }

    #[test]
    fn nothing_bound_is_refused() {
        let settings = Settings::default();
        let failure = decide(&settings, &[], &servers_in(&[("a", "eu")])).unwrap_err();
        assert!(failure.message().starts_with("no collection is bound"), "{failure}");
    }

    #[test]
    fn patterns_of_names() {
        for (pattern, name) in [
            ("*", ""),
            ("a*c", "abbc"),
            ("a*b*c", "a-b-b-c"),
            ("site-?", "site-1"),
            ("*-1", "x-1-1"),
            ("a**", "a"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("", "a"), ("a", ""), ("site-?", "site-10"), ("a*c", "abcd"), ("?", ""), ("a", "A")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_message_names_at_most_ten() {
        assert_eq!(list(std::iter::empty()), "(none)");
        assert_eq!(list((0..12).map(|_| "x")), "x, x, x, x, x, x, x, x, x, x and 2 more");
    }
}
