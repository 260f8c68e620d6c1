//! What a plugin answered, held to what the contract says: whatever breaks it is the plugin's fault, and none of the
//! answers counts then. (One that broke a rule for one application cannot be trusted with the others.)

use syncline_domain::{
    Failure,
    policy::{
        Answer, Application, DEVICE_BYTES, DOCUMENT_BYTES, Document, Origin, Pointer, Provenance,
        ResolveRequest, Setting, Verdict, is_content_type,
    },
};

use crate::{
    bindings::device_policy::exports::syncline::plugin::policy as wit, capability::GivenFailures,
    outcome::returned, text::visible,
};

/// Most bytes of a name or word of the plugin in a message.
const SHOWN: usize = 100;
/// Most bytes of the words by which a plugin says why a value is there.
const WHY: usize = 1 << 10;

/// Checks all answers and takes them over.
pub(super) fn lift(
    raw: Vec<wit::Answer>,
    asked: &ResolveRequest,
    given: &GivenFailures,
) -> Result<Vec<Answer>, Failure> {
    check_names(&raw, &asked.applications)?;
    let mut bytes = 0_usize;
    let mut answers = Vec::with_capacity(raw.len());
    for (raw, application) in raw.into_iter().zip(&asked.applications) {
        let verdict = match raw.verdict {
            wit::Verdict::Withdrawn => Verdict::Withdrawn,
            wit::Verdict::Failed(failure) => Verdict::Failed(returned(failure, given)),
            wit::Verdict::Document(document) => {
                bytes = bytes.saturating_add(document.body.len());
                Verdict::Document(Check { asked, application }.document(document)?)
            }
        };
        answers.push(Answer { application: application.name.clone(), verdict });
    }
    if bytes > DEVICE_BYTES {
        let message = format!(
            "the plugin answered with {bytes} bytes of documents, and {DEVICE_BYTES} is the most for a device; its author has \
             to shorten them"
        );
        return Err(Failure::plugin_limit("device-size", message));
    }
    Ok(answers)
}

/// One answer for each application, in the same order.
fn check_names(raw: &[wit::Answer], asked: &[Application]) -> Result<(), Failure> {
    let refuse = |why: String| {
        let message = format!(
            "{why}; its author has to give one answer for each application asked about, in the same order"
        );
        Err(Failure::plugin("answers", message))
    };
    if let Some((raw, application)) =
        raw.iter().zip(asked).find(|(raw, application)| raw.application != application.name.as_str())
    {
        return refuse(format!(
            "the plugin answered for {:?} where `{}` was next",
            visible(&raw.application, SHOWN),
            application.name
        ));
    }
    if let Some(missing) = asked.get(raw.len()) {
        return refuse(format!("the plugin gave no answer for `{}`", missing.name));
    }
    if let Some(more) = raw.get(asked.len()) {
        return refuse(format!(
            "the plugin answered for {:?}, and was not asked about it any more",
            visible(&more.application, SHOWN)
        ));
    }
    Ok(())
}

/// One document, by what was asked.
struct Check<'a> {
    asked: &'a ResolveRequest,
    application: &'a Application,
}

impl Check<'_> {
    fn document(&self, raw: wit::Document) -> Result<Document, Failure> {
        let wit::Document { content_type, body, provenance } = raw;
        if body.len() > DOCUMENT_BYTES {
            let message = format!(
                "the plugin answered with a document of {} bytes for `{}`, and {DOCUMENT_BYTES} is the most; its author has to \
                 shorten it",
                body.len(),
                self.application.name
            );
            return Err(Failure::plugin_limit("document-size", message));
        }
        if !is_content_type(&content_type) {
            return Err(self.refuse(
                "content-type",
                &format!(
                    "has the content type {:?}, which is none: such as `application/json` is one",
                    visible(&content_type, SHOWN)
                ),
            ));
        }
        Ok(Document { content_type, body, provenance: self.provenance(provenance)? })
    }

    fn provenance(&self, raw: Vec<wit::Provenance>) -> Result<Vec<Provenance>, Failure> {
        if !self.asked.explain && !raw.is_empty() {
            let why =
                "says where values come from, and was not asked: answers that are kept must not differ by it";
            return Err(self.refuse("provenance", why));
        }
        let mut all: Vec<Provenance> = Vec::with_capacity(raw.len());
        for raw in raw {
            let pointer = self.pointer(raw.pointer)?;
            if let Some(last) = all.last().filter(|last| last.pointer >= pointer) {
                let why = format!(
                    "says where \"{}\" comes from after \"{}\": they have to be sorted, and each be there once",
                    visible(pointer.as_str(), SHOWN),
                    visible(last.pointer.as_str(), SHOWN)
                );
                return Err(self.refuse("provenance", &why));
            }
            let origin = self.origin(raw.origin)?;
            let overruled =
                raw.overruled.into_iter().map(|one| self.setting(one)).collect::<Result<_, _>>()?;
            all.push(Provenance { pointer, origin, overruled });
        }
        Ok(all)
    }

    fn origin(&self, raw: wit::Origin) -> Result<Origin, Failure> {
        match raw {
            wit::Origin::Setting(setting) => self.setting(setting).map(Origin::Setting),
            wit::Origin::Plugin(why) => Ok(Origin::Plugin(visible(&why, WHY))),
            wit::Origin::Fact(name) => {
                let known = self.asked.facts.iter().any(|fact| fact.name == name);
                if known { Ok(Origin::Fact(name)) } else { Err(self.unknown("the fact", &name)) }
            }
            wit::Origin::Assignment(wit::Assignment { user, key_set }) => {
                let Some(found) = self.asked.users.iter().find(|one| one.name == user) else {
                    return Err(self.unknown("the user", &user));
                };
                let known = found.key_sets.iter().any(|one| one.name == key_set);
                if known {
                    Ok(Origin::Assignment { user, key_set })
                } else {
                    Err(self.unknown("the key set", &key_set))
                }
            }
        }
    }

    fn setting(&self, raw: wit::Setting) -> Result<Setting, Failure> {
        let wit::Setting { layer, pointer } = raw;
        let layers = self.application.layers.len();
        if layer as usize >= layers {
            let why =
                format!("says that a value comes from layer {layer}, and there are {layers}, counted from 0");
            return Err(self.refuse("provenance", &why));
        }
        Ok(Setting { layer, pointer: self.pointer(pointer)? })
    }

    fn pointer(&self, text: String) -> Result<Pointer, Failure> {
        text.try_into().map_err(|error| self.refuse("provenance", &format!("is explained, and {error}")))
    }

    fn unknown(&self, what: &str, name: &str) -> Failure {
        let name = visible(name, SHOWN);
        self.refuse(
            "provenance",
            &format!("says that a value comes from {what} {name:?}, which it was not given"),
        )
    }

    fn refuse(&self, code: &str, why: &str) -> Failure {
        let message =
            format!("the plugin's answer for `{}` {why}; its author has to mend it", self.application.name);
        Failure::plugin(code, message)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use syncline_domain::{FailureKind, Fault};

    use super::*;

    fn asked(explain: bool) -> ResolveRequest {
        serde_json::from_value(json!({
            "applications": [{ "name": "a", "layers": [{ "settings": {} }, { "settings": {} }] }],
            "facts": [{ "name": "os.type", "value": "linux" }],
            "users": [{ "name": "ada", "key_sets": [{ "name": "vpn" }] }],
            "explain": explain,
        }))
        .unwrap()
    }

    fn entry(pointer: &str, origin: wit::Origin) -> wit::Provenance {
        wit::Provenance { pointer: pointer.to_owned(), origin, overruled: Vec::new() }
    }

    fn from_layer(layer: u32, pointer: &str) -> wit::Origin {
        wit::Origin::Setting(wit::Setting { layer, pointer: pointer.to_owned() })
    }

    fn answer(content_type: &str, body: usize, provenance: Vec<wit::Provenance>) -> wit::Answer {
        let document =
            wit::Document { content_type: content_type.to_owned(), body: vec![b' '; body], provenance };
        wit::Answer { application: "a".to_owned(), verdict: wit::Verdict::Document(document) }
    }

    fn refused(answer: wit::Answer, explain: bool) -> Failure {
        let failure = lift(vec![answer], &asked(explain), &GivenFailures::default()).unwrap_err();
        assert_eq!(failure.fault, Fault::Plugin, "{failure}");
        failure
    }

    #[test]
    fn a_good_answer_is_taken_over() {
        let assignment = wit::Assignment { user: "ada".to_owned(), key_set: "vpn".to_owned() };
        let provenance = vec![
            entry("", from_layer(0, "")),
            entry("/a", wit::Origin::Fact("os.type".to_owned())),
            entry("/b", wit::Origin::Assignment(assignment)),
            entry("/c", wit::Origin::Plugin("because\n".to_owned())),
        ];
        let answers = lift(
            vec![answer("application/json", DOCUMENT_BYTES, provenance)],
            &asked(true),
            &GivenFailures::default(),
        )
        .unwrap();
        let Verdict::Document(document) = &answers[0].verdict else { panic!("{answers:?}") };
        assert_eq!(document.provenance[3].origin, Origin::Plugin("because\\n".to_owned()));
    }

    #[test]
    fn documents_have_a_size_and_a_type() {
        let large = refused(answer("a/b", DOCUMENT_BYTES + 1, Vec::new()), false);
        assert_eq!((large.kind, large.code.as_str()), (FailureKind::Limit, "document-size"));
        assert!(large.message.contains("1048577 bytes") && large.message.contains("`a`"), "{large}");
        let odd = refused(answer("a\nb", 1, Vec::new()), false);
        assert_eq!(odd.code, "content-type");
        assert!(odd.message.contains("a\\\\nb"), "{odd}");
    }

    #[test]
    fn all_documents_together_have_a_size() {
        let names: Vec<_> = (0..9).map(|n| format!("a{n}")).collect();
        let applications: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
        let asked = serde_json::from_value(json!({ "applications": applications })).unwrap();
        let raw = names.iter().map(|name| wit::Answer {
            application: name.clone(),
            ..answer("a/b", DOCUMENT_BYTES, Vec::new())
        });
        let failure = lift(raw.collect(), &asked, &GivenFailures::default()).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.fault), ("device-size", Fault::Plugin));
    }

    #[test]
    fn where_values_come_from_is_only_told_if_asked_and_is_no_lie() {
        for (explain, provenance, words) in [
            (false, vec![entry("", from_layer(0, ""))], "was not asked"),
            (true, vec![entry("/b", from_layer(0, "")), entry("/a", from_layer(0, ""))], "sorted"),
            (true, vec![entry("/a", from_layer(0, "")), entry("/a", from_layer(0, ""))], "once"),
            (true, vec![entry("a", from_layer(0, ""))], "no JSON pointer"),
            (true, vec![entry("", from_layer(2, ""))], "layer 2, and there are 2"),
            (true, vec![entry("", from_layer(0, "x"))], "no JSON pointer"),
            (true, vec![entry("", wit::Origin::Fact("host.name".to_owned()))], "the fact \"host.name\""),
        ] {
            let failure = refused(answer("a/b", 1, provenance), explain);
            assert_eq!(failure.code, "provenance");
            assert!(failure.message.contains(words), "{words:?} is not in: {failure}");
        }
        for (user, key_set, words) in [("eve", "vpn", "the user \"eve\""), ("ada", "x", "the key set \"x\"")]
        {
            let assignment = wit::Assignment { user: user.to_owned(), key_set: key_set.to_owned() };
            let failure =
                refused(answer("a/b", 1, vec![entry("", wit::Origin::Assignment(assignment))]), true);
            assert!(failure.message.contains(words), "{failure}");
        }
    }
}
