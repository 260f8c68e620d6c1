//! Users and groups by name, as `/etc/passwd` and `/etc/group` have them.

use std::fs;

/// `user:group`, each a name or a number.
pub fn parse(text: &str) -> Result<(u32, u32), String> {
    let (user, group) =
        text.split_once(':').ok_or_else(|| format!("owner {text:?} is none: write it like \"root:root\""))?;
    Ok((find(user, "user", "/etc/passwd")?, find(group, "group", "/etc/group")?))
}

fn find(name: &str, what: &str, file: &str) -> Result<u32, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let text = fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?;
    number_of(&text, name)
        .ok_or_else(|| format!("there is no {what} {name:?} in {file}: add it, or write its number"))
}

/// Both files have a name in the first field of a line, and its number in the third.
fn number_of(text: &str, name: &str) -> Option<u32> {
    let fields = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields.into_iter().find(|fields| fields.first() == Some(&name))?.get(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_found() {
        assert_eq!(parse("0:12"), Ok((0, 12)));
        assert_eq!(number_of("root:x:0:0::/root:/bin/sh\ntill:x:970:970::/:/bin/false\n", "till"), Some(970));
        assert_eq!(number_of("root:x:0:\n", "oot"), None);
        assert!(parse("root").unwrap_err().contains("\"root\""));
    }
}
