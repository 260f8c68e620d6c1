//! What the settings mean for one source: which searches bring which entries, and what is made of their attributes.

use ldap3_proto::{control::LdapControl, proto::LdapFilter};
use syncline_plugin::{Failure, Result, directory::EntryKind};

use crate::{
    defaults::{self, Defaults},
    dn, filter,
    root::Root,
    settings::{Condition, Kind, Mapping, Referrals, Rule, Settings},
};

/// A source as the administrator of the host registered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// What it is said to be, such as `active-directory`. Empty: as its root entry says.
    pub kind: String,
    /// Distinguished names below which it is read.
    pub bases: Vec<String>,
}

/// A name, as it is written and in normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) normal: String,
}

/// All that decides how one source is read.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) active_directory: bool,
    /// None lies within another.
    pub(crate) bases: Vec<Name>,
    /// Naming contexts in which the bases lie, for what can be read of whole ones only.
    pub(crate) contexts: Vec<Name>,
    exclude: Vec<Name>,
    /// Whether what is left out can be left out by a filter: then the server does not name it as still there.
    filters_names: bool,
    pub(crate) identity: String,
    /// Units first, groups last.
    pub(crate) kinds: Vec<KindPlan>,
    pub(crate) page_size: u32,
    pub(crate) need_email: bool,
    pub(crate) disabled_when: Vec<Condition>,
    pub(crate) locked_is_disabled: bool,
    /// Go with each search.
    pub(crate) controls: Vec<LdapControl>,
}

/// How one kind of entry is read.
#[derive(Debug)]
pub(crate) struct KindPlan {
    pub(crate) kind: EntryKind,
    pub(crate) filter: LdapFilter,
    /// What the server is asked for.
    pub(crate) attributes: Vec<String>,
    /// What entries are called by: the first that is there.
    pub(crate) names: &'static [&'static str],
    /// The platform's name, and what it is made from.
    pub(crate) rules: Vec<(String, Rule)>,
}

/// Attributes that list members.
pub(crate) const MEMBERS: [&str; 3] = ["member", "uniqueMember", "memberUid"];

impl Plan {
    /// # Errors
    ///
    /// [`Failure::settings`] where a name or filter is none, or nothing says where to read.
    pub(crate) fn new(settings: &Settings, source: &Source, root: &Root) -> Result<Self> {
        let defaults = if root.active_directory { &defaults::ACTIVE_DIRECTORY } else { &defaults::LDAP };
        let given =
            [&settings.bases, &source.bases, &root.contexts].into_iter().find(|bases| !bases.is_empty());
        let bases = given.map(|bases| names("bases", bases)).transpose()?.unwrap_or_default();
        let bases: Vec<Name> = outermost(bases);
        if bases.is_empty() {
            return Err(Failure::settings(format!(
                "nothing says where to read in {}: the server names no context of its own, so set `bases`",
                source.name
            )));
        }
        let contexts = names("the contexts that the server names", &root.contexts)?;
        let holds = |base: &Name| contexts.iter().any(|context| dn::is_within(&base.normal, &context.normal));
        if let Some(base) = bases.iter().find(|base| root.active_directory && !holds(base)) {
            let message = format!(
                "`bases`: {:?} is in none of the domains of {} ({}): correct it, or give its domain a source of its own",
                base.text,
                source.name,
                root.contexts.join(", ")
            );
            return Err(Failure::settings(message));
        }
        let contexts = contexts
            .into_iter()
            .filter(|context| bases.iter().any(|base| dn::is_within(&base.normal, &context.normal)))
            .collect();
        let identity = match settings.identity.as_str() {
            "" => defaults.identity,
            identity => identity,
        };
        let mut plan = Self {
            active_directory: root.active_directory,
            contexts,
            bases,
            exclude: names("exclude", &settings.exclude)?,
            filters_names: root.openldap,
            identity: identity.to_owned(),
            kinds: Vec::new(),
            page_size: settings.page_size.clamp(1, 10_000),
            need_email: settings.people_need_email,
            disabled_when: settings.disabled_when.clone(),
            locked_is_disabled: settings.locked_is_disabled,
            controls: controls(root.active_directory, settings.referrals),
        };
        for kind in kinds(settings) {
            let kind = KindPlan::new(kind, settings, defaults, &plan)?;
            plan.kinds.push(kind);
        }
        Ok(plan)
    }

    /// Whether an entry of this name, in normal form, is to be read.
    pub(crate) fn in_scope(&self, normal: &str) -> bool {
        let within = |base: &str| dn::is_within(normal, base);
        self.bases.iter().any(|base| within(&base.normal))
            && !self.exclude.iter().any(|base| within(&base.normal))
    }

    /// Whether the names of its bases are the parents of entries without being units.
    pub(crate) fn is_context(&self, normal: &str) -> bool {
        self.contexts.iter().any(|context| context.normal == normal)
    }

    /// What is asked for where only the identity matters.
    pub(crate) fn identity_alone(&self) -> Vec<String> {
        vec![self.identity.clone()]
    }
}

impl KindPlan {
    fn new(kind: EntryKind, settings: &Settings, defaults: &Defaults, plan: &Plan) -> Result<Self> {
        let (defaults, given, mappings) = match kind {
            EntryKind::Person => (&defaults.people, &settings.filters.people, &settings.attributes.people),
            EntryKind::Group => (&defaults.groups, &settings.filters.groups, &settings.attributes.groups),
            EntryKind::Computer => {
                (&defaults.computers, &settings.filters.computers, &settings.attributes.computers)
            }
            EntryKind::Unit => (&defaults.units, &settings.filters.units, &settings.attributes.units),
        };
        let mut rules: Vec<_> = defaults
            .rules
            .iter()
            .filter(|(name, ..)| !mappings.contains_key(*name))
            .map(|(name, from, transform)| {
                let from = from.iter().map(|one| (*one).to_owned()).collect();
                ((*name).to_owned(), Rule { from, transform: transform.to_vec(), ..Rule::default() })
            })
            .collect();
        for (name, mapping) in mappings {
            let rule = match mapping {
                Mapping::From(from) if from.is_empty() => continue,
                Mapping::From(from) => Rule { from: vec![from.clone()], ..Rule::default() },
                Mapping::Rule(rule) => rule.clone(),
            };
            if name.is_empty() || rule.from.iter().any(String::is_empty) {
                let message =
                    format!("`attributes`: {name:?} has an empty name in it: give names on both sides");
                return Err(Failure::settings(message));
            }
            rules.push((name.clone(), rule));
        }
        let mut wanted = filter::parse(if given.is_empty() { defaults.filter } else { given })?;
        let email = rules.iter().find(|(name, _)| name == "email");
        if let (EntryKind::Person, true, Some((_, rule))) = (kind, plan.need_email, email) {
            let any = filter::any(rule.from.iter().cloned().map(LdapFilter::Present));
            wanted = filter::all([wanted, any]);
        }
        if plan.filters_names && !plan.exclude.is_empty() {
            let left_out = plan.exclude.iter().map(|name| filter::not_within(&name.text));
            wanted = filter::all(std::iter::once(wanted).chain(left_out));
        }
        let mut attributes: Vec<String> =
            defaults.names.iter().chain(defaults.extra).map(|n| (*n).to_owned()).collect();
        attributes.push(plan.identity.clone());
        for (_, rule) in &rules {
            attributes.extend(rule.from.iter().cloned());
            attributes.extend(rule.when.iter().map(|condition| condition.attribute.clone()));
        }
        if matches!(kind, EntryKind::Person | EntryKind::Computer) {
            attributes.extend(plan.disabled_when.iter().map(|condition| condition.attribute.clone()));
        }
        attributes.sort_by_key(|name| name.to_ascii_lowercase());
        attributes.dedup_by(|a, b| a.eq_ignore_ascii_case(b));
        Ok(Self { kind, filter: wanted, attributes, names: defaults.names, rules })
    }
}

/// Units first, so that what sits in them comes after them; groups last, when it is known who is in them by other ways.
fn kinds(settings: &Settings) -> impl Iterator<Item = EntryKind> {
    let order = [
        (Kind::People, EntryKind::Person),
        (Kind::Computers, EntryKind::Computer),
        (Kind::Groups, EntryKind::Group),
    ];
    let wanted = order.into_iter().filter(|(kind, _)| settings.kinds.contains(kind)).map(|(_, kind)| kind);
    std::iter::once(EntryKind::Unit).chain(wanted)
}

fn controls(active_directory: bool, referrals: Referrals) -> Vec<LdapControl> {
    let mut controls = Vec::new();
    if active_directory {
        // Other domains of the forest are other sources: without this, each search names them as referrals.
        let oid = "1.2.840.113556.1.4.1339".to_owned();
        controls.push(LdapControl::Unknown { oid, criticality: false, value: None });
    } else if referrals == Referrals::Ignore {
        // Entries that refer elsewhere are then entries as any other.
        controls.push(LdapControl::ManageDsaIT { criticality: true });
    }
    controls
}

fn names(setting: &str, texts: &[String]) -> Result<Vec<Name>> {
    let name = |text: &String| match dn::normal(text) {
        Ok(normal) => Ok(Name { text: text.clone(), normal }),
        Err(dn::NoDn(at)) => {
            let message = format!(
                "`{setting}`: {text:?} is no distinguished name from byte {at} on: write it as in `ou=people,dc=example,dc=com`"
            );
            Err(Failure::settings(message))
        }
    };
    texts.iter().map(name).collect()
}

/// Those that lie within no other one.
fn outermost(mut names: Vec<Name>) -> Vec<Name> {
    names.sort_by_key(|name| name.normal.len());
    let mut kept: Vec<Name> = Vec::new();
    for name in names {
        if !kept.iter().any(|outer| dn::is_within(&name.normal, &outer.normal)) {
            kept.push(name);
        }
    }
    kept
}
