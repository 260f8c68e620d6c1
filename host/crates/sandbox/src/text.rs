//! Text from a plugin, made safe to show: it can neither start a new line nor move what stands beside it.

/// `text` with control characters as visible escapes, at most `max` bytes; what was cut ends in `…`.
pub(crate) fn visible(text: &str, max: usize) -> String {
    const CUT: char = '…';
    let mut out = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        let before = out.len();
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_hidden(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
        if out.len() > max {
            out.truncate(before);
            while out.len() + CUT.len_utf8() > max && out.pop().is_some() {}
            out.push(CUT);
            return out;
        }
    }
    out
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and what changes the direction of text or is not
/// seen at all: with these a line could be made to look like another one.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_moves_the_cursor_or_turns_the_text() {
        assert_eq!(visible("a\nb\r\x1b[2J\t", 100), "a\\nb\\r\\u{1b}[2J\\t");
        assert_eq!(visible("\u{85}\u{202e}\u{2066}\u{7f}", 100), "\\u{85}\\u{202e}\\u{2066}\\u{7f}");
        assert_eq!(visible("Grüße, 日本 👋", 100), "Grüße, 日本 👋");
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(visible("abcdef", 6), "abcdef");
        assert_eq!(visible("abcdefg", 6), "abc…");
    }

    proptest! {
        #[test]
        fn any_text_stays_one_line_within_its_limit(text in any::<String>(), max in 3usize..64) {
            let shown = visible(&text, max);
            prop_assert!(shown.len() <= max);
            prop_assert!(!shown.chars().any(is_hidden));
        }
    }
}
