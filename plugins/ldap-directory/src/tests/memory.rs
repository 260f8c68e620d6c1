//! A directory in memory that answers searches: with pages, content synchronisation, ranges and numbers of changes, and with
//! the faults that servers and networks have.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, time::Duration};

use bytes::BytesMut;
use ldap3_proto::{
    LdapCodec,
    control::LdapControl,
    proto::{
        LdapFilter, LdapIntermediateResponse, LdapMsg, LdapOp, LdapPartialAttribute, LdapResult,
        LdapResultCode, LdapSearchRequest, LdapSearchResultEntry, LdapSearchResultReference, LdapSearchScope,
        SyncStateValue,
    },
};
use syncline_plugin::{Failure, Result};
use tokio_util::codec::{Decoder, Encoder};
use uuid::Uuid;

use crate::{Connection, dn, root};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection ends in the middle of this page, counted from 1.
    ClosedOnPage(usize),
    /// This page ends with a limit.
    LimitOnPage(usize, &'static str),
    /// This page says nothing of whether it is the last.
    SilentPage(usize),
    /// Each page has the same cookie.
    SameCookie,
    /// The last list of values of each entry is cut, and the lengths around it are right.
    CutList,
    /// A part lies elsewhere.
    Reference,
    /// The cookie of content synchronisation is refused.
    CookieRefused,
}

#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) dn: String,
    pub(super) attributes: Vec<(String, Vec<Vec<u8>>)>,
    changed: u64,
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) server: String,
    pub(super) items: Vec<Item>,
    pub(super) deleted: Vec<(u64, Item)>,
    pub(super) number: u64,
    pub(super) active_directory: bool,
    pub(super) invocation: u8,
    /// Whether content synchronisation is there, and knows what is gone.
    pub(super) sync: Option<bool>,
    /// Whether deleted objects are seen.
    pub(super) sees_deleted: bool,
    /// Most values of a list that come at once.
    pub(super) range: usize,
    pub(super) fault: Option<Fault>,
    pub(super) pages: usize,
    /// Searches that were made.
    pub(super) searches: usize,
}

impl Memory {
    /// OpenLDAP with units, people and a group.
    pub(super) fn openldap() -> Self {
        let mut memory = Self { server: "ldap.example.com:636".to_owned(), sync: None, ..Self::default() };
        memory.add("dc=example,dc=com", "objectClass=domain");
        memory.add("ou=People,dc=example,dc=com", "objectClass=organizationalUnit ou=People");
        memory.person("ada");
        memory.person("bob");
        memory.add(
            "cn=devs,dc=example,dc=com",
            "objectClass=groupOfNames cn=devs member=UID=Ada,\\20ou=people,dc=example,dc=com",
        );
        memory
    }

    pub(super) fn active_directory() -> Self {
        let (server, active_directory) = ("dc1.example.com:636".to_owned(), true);
        let mut memory = Self { server, active_directory, sees_deleted: true, range: 3, ..Self::default() };
        memory.add("OU=Staff,DC=example,DC=com", "objectClass=organizationalUnit name=Staff");
        memory.add("CN=Deleted Objects,DC=example,DC=com", "objectClass=top cn=deleted isDeleted=TRUE");
        memory.user("ada", 512);
        memory.user("bob", 514);
        memory.add("CN=Users,DC=example,DC=com", "objectClass=group objectCategory=group name=Domain-Users");
        memory.set("CN=Users,DC=example,DC=com", "objectSid", vec![sid(513)]);
        memory
    }

    pub(super) fn person(&mut self, name: &str) {
        let attributes = format!(
            "objectClass=inetOrgPerson cn={name} uid={name} sn=x mail={}@Example.com",
            name.to_uppercase()
        );
        self.add(&format!("uid={name},ou=People,dc=example,dc=com"), &attributes);
    }

    pub(super) fn user(&mut self, name: &str, control: u32) {
        let attributes = format!(
            "objectClass=user objectCategory=person sAMAccountType=805306368 name={name} mail={name}@x userAccountControl={control} \
             primaryGroupID=513"
        );
        let dn = format!("CN={name},OU=Staff,DC=example,DC=com");
        self.add(&dn, &attributes);
        let number = u32::try_from(self.items.len()).unwrap() + 1_000;
        self.set(&dn, "objectSid", vec![sid(number)]);
    }

    /// Adds an entry with an identity of its own, made of a number.
    pub(super) fn add(&mut self, dn: &str, attributes: &str) {
        self.number += 1;
        let mut item = Item { dn: dn.to_owned(), attributes: Vec::new(), changed: self.number };
        for pair in attributes.split_ascii_whitespace() {
            let (name, value) = pair.split_once('=').unwrap();
            item.attributes.push((name.to_owned(), vec![value.replace("\\20", " ").into_bytes()]));
        }
        let id = Uuid::from_u128(u128::from(self.number));
        item.attributes.push(("entryUUID".to_owned(), vec![id.hyphenated().to_string().into_bytes()]));
        item.attributes.push(("objectGUID".to_owned(), vec![id.to_bytes_le().to_vec()]));
        self.items.push(item);
    }

    pub(super) fn set(&mut self, dn: &str, name: &str, values: Vec<Vec<u8>>) {
        self.number += 1;
        let number = self.number;
        let item = self.item(dn);
        item.changed = number;
        item.attributes.retain(|(have, _)| have != name);
        if !values.is_empty() {
            item.attributes.push((name.to_owned(), values));
        }
    }

    pub(super) fn rename(&mut self, dn: &str, to: &str) {
        self.number += 1;
        let number = self.number;
        let item = self.item(dn);
        (item.dn, item.changed) = (to.to_owned(), number);
    }

    /// What a server does below a unit that is renamed: names change, and nothing tells so.
    pub(super) fn rename_below(&mut self, suffix: &str, to: &str) {
        for item in &mut self.items {
            if let Some(rest) = item.dn.strip_suffix(suffix) {
                item.dn = format!("{rest}{to}");
            }
        }
    }

    pub(super) fn remove(&mut self, dn: &str) {
        self.number += 1;
        let at = self.items.iter().position(|item| item.dn == dn).unwrap();
        let mut item = self.items.remove(at);
        item.changed = self.number;
        self.deleted.push((self.number, item));
    }

    fn item(&mut self, dn: &str) -> &mut Item {
        self.items.iter_mut().find(|item| item.dn == dn).unwrap()
    }

    fn root(&self) -> Item {
        let mut attributes = vec![("namingContexts".to_owned(), vec![b"dc=example,dc=com".to_vec()])];
        let mut add = |name: &str, value: &[u8]| attributes.push((name.to_owned(), vec![value.to_vec()]));
        if self.active_directory {
            add("defaultNamingContext", b"DC=example,DC=com");
            add("dnsHostName", b"dc1.example.com");
            add("dsServiceName", b"CN=NTDS Settings");
            add("highestCommittedUSN", self.number.to_string().as_bytes());
            add("supportedCapabilities", b"1.2.840.113556.1.4.800");
        }
        if self.sync.is_some() {
            add("supportedControl", root::SYNC.as_bytes());
        }
        Item { dn: String::new(), attributes, changed: 0 }
    }

    fn found(&self, request: &LdapSearchRequest, controls: &[LdapControl]) -> Vec<Item> {
        let deleted = controls.iter().any(|control| matches!(control, LdapControl::ShowDeleted { .. }));
        match request.base.as_str() {
            "" => return vec![self.root()],
            "CN=NTDS Settings" => {
                let id = vec![vec![self.invocation; 16]];
                return vec![Item {
                    dn: request.base.clone(),
                    attributes: vec![("invocationId".to_owned(), id)],
                    changed: 0,
                }];
            }
            "CN=Deleted Objects,DC=example,DC=com" if !self.sees_deleted => return Vec::new(),
            "CN=Deleted Objects,DC=example,DC=com"
                if deleted && request.scope == LdapSearchScope::Subtree =>
            {
                let since = |item: &&Item| matches(&request.filter, item, true);
                return self.deleted.iter().map(|(_, item)| item).filter(since).cloned().collect();
            }
            _ => {}
        }
        let base = dn::normal(&request.base).unwrap();
        let within = |item: &&Item| {
            let normal = dn::normal(&item.dn).unwrap();
            match request.scope {
                LdapSearchScope::Base => normal == base,
                _ => dn::is_within(&normal, &base),
            }
        };
        self.items
            .iter()
            .filter(within)
            .filter(|item| matches(&request.filter, item, false))
            .cloned()
            .collect()
    }
}

fn sid(number: u32) -> Vec<u8> {
    let mut bytes = vec![1, 2, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0];
    bytes.extend(number.to_le_bytes());
    bytes
}

fn matches(filter: &LdapFilter, item: &Item, deleted: bool) -> bool {
    let values = |name: &str| -> Vec<String> {
        if name.eq_ignore_ascii_case("uSNChanged") {
            return vec![item.changed.to_string()];
        }
        if name.eq_ignore_ascii_case("modifyTimestamp") {
            return vec![time(item.changed)];
        }
        if name.eq_ignore_ascii_case("isDeleted") && deleted {
            return vec!["TRUE".to_owned()];
        }
        let found = item.attributes.iter().filter(|(have, _)| have.eq_ignore_ascii_case(name));
        let sid =
            |bytes: &[u8]| format!("S-1-5-21-{}", u32::from_le_bytes(bytes[12..16].try_into().unwrap()));
        let text = |bytes: &Vec<u8>| match name {
            "objectSid" => sid(bytes),
            _ => String::from_utf8_lossy(bytes).into_owned(),
        };
        found.flat_map(|(_, values)| values.iter().map(text)).collect()
    };
    match filter {
        LdapFilter::And(all) => all.iter().all(|filter| matches(filter, item, deleted)),
        LdapFilter::Or(any) => any.iter().any(|filter| matches(filter, item, deleted)),
        LdapFilter::Not(filter) => !matches(filter, item, deleted),
        LdapFilter::Equality(name, value) => values(name).iter().any(|have| have.eq_ignore_ascii_case(value)),
        LdapFilter::Present(name) => !values(name).is_empty(),
        LdapFilter::GreaterOrEqual(name, value) => values(name).iter().any(|have| {
            let numbers = (have.parse::<u64>(), value.parse::<u64>());
            if let (Ok(have), Ok(value)) = numbers { have >= value } else { have >= value }
        }),
        other => panic!("{other:?} is not asked for here"),
    }
}

fn time(number: u64) -> String {
    format!("20260101{number:06}Z")
}

/// A connection to it.
pub(super) struct Session {
    memory: Rc<RefCell<Memory>>,
    answers: VecDeque<Vec<u8>>,
    closed: bool,
}

impl Session {
    pub(super) fn new(memory: Rc<RefCell<Memory>>) -> Self {
        memory.borrow_mut().pages = 0;
        Self { memory, answers: VecDeque::new(), closed: false }
    }

    fn answer(&mut self, id: i32, op: LdapOp, ctrl: Vec<LdapControl>) {
        let mut bytes = BytesMut::new();
        LdapCodec::new(Some(16 << 20), None).encode(LdapMsg { msgid: id, op, ctrl }, &mut bytes).unwrap();
        if self.memory.borrow().fault == Some(Fault::CutList)
            && bytes.windows(3).any(|window| window == b"uid")
        {
            // The last value takes more than there is.
            let last = |at: &usize| bytes[*at] == 4 && usize::from(bytes[at + 1]) == bytes.len() - at - 2;
            let at = (0..bytes.len() - 1).rev().find(last).unwrap();
            bytes[at + 1] += 40;
        }
        self.answers.push_back(bytes.to_vec());
    }

    fn done(&mut self, id: i32, code: LdapResultCode, ctrl: Vec<LdapControl>) {
        let result =
            LdapResult { code, matcheddn: String::new(), message: String::new(), referral: Vec::new() };
        self.answer(id, LdapOp::SearchResultDone(result), ctrl);
    }

    fn entry(&mut self, id: i32, item: &Item, asked: &[String], ctrl: Vec<LdapControl>) {
        let (range, mut attributes) = (self.memory.borrow().range, Vec::new());
        for asked in asked {
            let (name, from) = match asked.split_once(";range=") {
                Some((name, range)) => (name, range.strip_suffix("-*").unwrap().parse().unwrap()),
                None => (asked.as_str(), 0_usize),
            };
            if name == "modifyTimestamp" {
                let vals = vec![time(item.changed).into_bytes()];
                attributes.push(LdapPartialAttribute { atype: name.to_owned(), vals });
            }
            let Some((_, values)) = item.attributes.iter().find(|(have, _)| have.eq_ignore_ascii_case(name))
            else {
                continue;
            };
            let left = &values[from.min(values.len())..];
            let (atype, vals) = if range == 0 || name != "member" || (left.len() <= range && from == 0) {
                (name.to_owned(), left)
            } else if left.len() <= range {
                (format!("{name};range={from}-*"), left)
            } else {
                (format!("{name};range={from}-{}", from + range - 1), &left[..range])
            };
            attributes.push(LdapPartialAttribute { atype, vals: vals.to_vec() });
        }
        let entry = LdapSearchResultEntry { dn: item.dn.clone(), attributes };
        self.answer(id, LdapOp::SearchResultEntry(entry), ctrl);
    }

    fn search(&mut self, id: i32, request: &LdapSearchRequest, controls: &[LdapControl]) {
        self.memory.borrow_mut().searches += 1;
        let mut found = self.memory.borrow().found(request, controls);
        for control in controls {
            match control {
                LdapControl::SyncRequest { cookie, .. } => {
                    return self.sync(id, request, found, cookie.as_deref());
                }
                LdapControl::SimplePagedResults { size, cookie } => {
                    let at: usize = String::from_utf8_lossy(cookie).parse().unwrap_or_default();
                    let end = (at + usize::try_from(*size).unwrap()).min(found.len());
                    let next = if end < found.len() { end.to_string() } else { String::new() };
                    found = found.drain(at..end).collect();
                    return self.page(id, request, &found, next.into_bytes());
                }
                _ => {}
            }
        }
        for item in &found {
            self.entry(id, item, &request.attrs, Vec::new());
        }
        let code = if found.is_empty() { LdapResultCode::NoSuchObject } else { LdapResultCode::Success };
        self.done(id, code, Vec::new());
    }

    fn page(&mut self, id: i32, request: &LdapSearchRequest, found: &[Item], next: Vec<u8>) {
        let (page, fault) = {
            let mut memory = self.memory.borrow_mut();
            memory.pages += 1;
            (memory.pages, memory.fault)
        };
        let half = found.len() / 2;
        for (index, item) in found.iter().enumerate() {
            if fault == Some(Fault::ClosedOnPage(page)) && index >= half {
                self.closed = true;
                return;
            }
            self.entry(id, item, &request.attrs, Vec::new());
        }
        let control = |cookie| vec![LdapControl::SimplePagedResults { size: 0, cookie }];
        match fault {
            Some(Fault::ClosedOnPage(closed)) if closed == page => self.closed = true,
            Some(Fault::LimitOnPage(limit, which)) if limit == page => {
                let code = match which {
                    "time" => LdapResultCode::TimeLimitExceeded,
                    "admin" => LdapResultCode::AdminLimitExceeded,
                    _ => LdapResultCode::SizeLimitExceeded,
                };
                self.done(id, code, control(next));
            }
            Some(Fault::SilentPage(silent)) if silent == page => {
                self.done(id, LdapResultCode::Success, Vec::new())
            }
            Some(Fault::SameCookie) => self.done(id, LdapResultCode::Success, control(b"0".to_vec())),
            Some(Fault::Reference) => {
                let uris = vec!["ldap://other.example.com/dc=other".to_owned()];
                self.answer(
                    id,
                    LdapOp::SearchResultReference(LdapSearchResultReference { uris }),
                    Vec::new(),
                );
                self.done(id, LdapResultCode::Success, control(next));
            }
            _ => self.done(id, LdapResultCode::Success, control(next)),
        }
    }

    fn sync(&mut self, id: i32, request: &LdapSearchRequest, found: Vec<Item>, cookie: Option<&[u8]>) {
        let (knows_deleted, number, refuses, deleted) = {
            let memory = self.memory.borrow();
            let refuses = memory.fault == Some(Fault::CookieRefused);
            (memory.sync.unwrap(), memory.number, refuses, memory.deleted.clone())
        };
        if cookie.is_some() && refuses {
            return self.done(id, LdapResultCode::EsyncRefreshRequired, Vec::new());
        }
        let since: Option<u64> = cookie.map(|cookie| String::from_utf8_lossy(cookie).parse().unwrap());
        let uuid = |item: &Item| {
            let id = item.attributes.iter().find(|(name, _)| name == "entryUUID").unwrap();
            Uuid::try_parse_ascii(&id.1[0]).unwrap()
        };
        let (changed, same): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|item| since.is_none_or(|since| item.changed > since));
        for item in &changed {
            let state =
                LdapControl::SyncState { state: SyncStateValue::Add, entry_uuid: uuid(item), cookie: None };
            self.entry(id, item, &request.attrs, vec![state]);
        }
        let refresh_deletes = knows_deleted && since.is_some();
        if let Some(since) = since {
            let syncuuids = if refresh_deletes {
                deleted.iter().filter(|(at, _)| *at > since).map(|(_, item)| uuid(item)).collect()
            } else {
                same.iter().map(uuid).collect()
            };
            let info = LdapIntermediateResponse::SyncInfoIdSet { cookie: None, refresh_deletes, syncuuids };
            self.answer(id, LdapOp::IntermediateResponse(info), Vec::new());
        }
        let cookie = Some(number.to_string().into_bytes());
        self.done(id, LdapResultCode::Success, vec![LdapControl::SyncDone { cookie, refresh_deletes }]);
    }
}

impl Connection for Session {
    fn server(&self) -> String {
        self.memory.borrow().server.clone()
    }

    fn send(&mut self, messages: &[u8]) -> Result<()> {
        let mut bytes = BytesMut::from(messages);
        while let Some(message) = LdapCodec::default().decode(&mut bytes).unwrap() {
            let LdapOp::SearchRequest(request) = &message.op else { panic!("{message:?} is no search") };
            if !self.closed {
                self.search(message.msgid, request, &message.ctrl);
            }
        }
        Ok(())
    }

    fn receive(&mut self, max_bytes: u32, _: Duration) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        while let Some(next) = self.answers.front() {
            if !out.is_empty() && out.len() + next.len() > max_bytes as usize {
                break;
            }
            out.extend(self.answers.pop_front().unwrap_or_default());
        }
        if out.is_empty() {
            return Err(Failure::unavailable("the server closed the connection").with_code("closed"));
        }
        Ok(out)
    }
}
