//! Finding a custom section of the outermost component.
//!
//! Nested modules and components are stepped over: a library linked into a plugin cannot speak for it.

use syncline_domain::Failure;
use wasmparser::{Chunk, Parser, Payload};

use super::damaged;

/// The content of the one custom section called `name`.
pub(crate) fn find<'a>(bytes: &'a [u8], name: &str) -> Result<&'a [u8], Failure> {
    let mut parser = Parser::new(0);
    let mut rest = bytes;
    let mut found = None;
    loop {
        let chunk = parser.parse(rest, true).map_err(|error| damaged(&error.to_string()))?;
        let Chunk::Parsed { consumed, payload } = chunk else {
            return Err(damaged("it ends in the middle of a section"));
        };
        rest = &rest[consumed..];
        match payload {
            Payload::CustomSection(section) if section.name() == name => match found {
                None => found = Some(section.data()),
                Some(_) => return Err(twice(name)),
            },
            Payload::ModuleSection { unchecked_range, .. }
            | Payload::ComponentSection { unchecked_range, .. } => {
                let nested = rest.get(unchecked_range.len()..);
                rest = nested.ok_or_else(|| damaged("it ends in the middle of a nested module"))?;
            }
            Payload::End(_) => break,
            _ => {}
        }
    }
    if !rest.is_empty() {
        return Err(damaged("something stands behind its end"));
    }
    found.ok_or_else(|| {
        let message = format!(
            "the component has no `{name}` section, so it is no plugin of Syncline: build it with `syncline-plugin build`"
        );
        Failure::plugin("manifest-missing", message)
    })
}

fn twice(name: &str) -> Failure {
    let message = format!(
        "the package has more than one `{name}` section, and which of them counts is not told: build it with \
         `syncline-plugin build`, once"
    );
    Failure::plugin("manifest-twice", message)
}
