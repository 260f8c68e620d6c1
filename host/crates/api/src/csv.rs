//! CSV (RFC 4180) that a spreadsheet can be given without harm.

/// What a spreadsheet takes for the beginning of a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// The media type, with what the first line is.
pub(crate) const MEDIA_TYPE: &str = "text/csv; charset=utf-8; header=present";

/// Adds a line of these fields. A text that a spreadsheet would take for a formula gets a `'` before it: names of files and
/// messages are chosen by others.
pub(crate) fn line<'a>(into: &mut String, fields: impl IntoIterator<Item = &'a str>) {
    for (number, field) in fields.into_iter().enumerate() {
        if number > 0 {
            into.push(',');
        }
        let escape = if field.starts_with(FORMULA) { "'" } else { "" };
        if field.contains(['"', ',', '\n', '\r']) {
            into.push('"');
            into.push_str(escape);
            into.push_str(&field.replace('"', "\"\""));
            into.push('"');
        } else {
            into.push_str(escape);
            into.push_str(field);
        }
    }
    into.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be_and_no_formula_comes_through() {
        let mut text = String::new();
        line(&mut text, ["plain", "a,b", "say \"hi\"", "two\nlines", "", "ä"]);
        line(&mut text, ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "=a,\"b\"", "a=b"]);
        let expected = "plain,\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",,ä\r\n\
            '=1+1,'+1,'-1,'@x,'\tx,\"'\rx\",\"'=a,\"\"b\"\"\",a=b\r\n";
        assert_eq!(text, expected);
    }
}
