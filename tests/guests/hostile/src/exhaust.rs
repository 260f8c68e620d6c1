//! Behaviours that run into a limit.

use std::hint::black_box;

use syncline_plugin::{clock, log::Level, prelude::*, raw::syncline::plugin as raw};

pub(crate) fn endless_loop() {
    let mut number = 0_u64;
    while black_box(number) != u64::MAX {
        number += 1;
    }
}

pub(crate) fn endless_calls() {
    while clock::elapsed() < std::time::Duration::MAX {}
}

pub(crate) fn memory_bomb() {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Ackermann's function: no compiler makes a loop of it, and all it needs are parameters, which lie on the host's side of the
/// stack.
pub(crate) fn deep_recursion() {
    fn ackermann(m: u64, n: u64) -> u64 {
        match (m, n) {
            (0, _) => n + 1,
            (_, 0) => ackermann(m - 1, 1),
            _ => ackermann(m - 1, ackermann(m, n - 1)),
        }
    }
    black_box(ackermann(black_box(4), black_box(4)));
}

/// Goes down the stack that lies in the guest's own memory, until it would leave that.
pub(crate) fn stack_overflow() {
    fn down(depth: u64) -> u64 {
        let here = black_box([depth; 64]);
        if depth == u64::MAX { 0 } else { down(depth + 1) + black_box(here)[7] }
    }
    black_box(down(black_box(0)));
}

pub(crate) fn log_flood() {
    for number in 0..100_000 {
        let line = format!(
            "line {number}\nERROR forged line\r\n\x1b[31mred\x1b[0m \x07\x00 \u{202e}desrever\u{202c} \u{2028}\u{85}end"
        );
        let field = raw::types::Label { name: "a\nb".to_owned(), value: "c\nd\x1b[2J".to_owned() };
        raw::log::write(Level::Info, &line, &[field]);
    }
}

pub(crate) fn long_line() {
    let value = "v".repeat(10 << 10);
    let fields: Vec<_> = (0..100)
        .map(|number| raw::types::Label { name: format!("f{number}"), value: value.clone() })
        .collect();
    raw::log::write(Level::Info, &"é".repeat(1 << 19), &fields);
}

/// In one call, not cut into pieces as the SDK does it.
pub(crate) fn append(bytes: usize) -> Result<()> {
    Ok(raw::desired_files::Content::new().append(&vec![1; bytes])?)
}

pub(crate) fn handle_leak() -> Result<()> {
    let Some(source) = sources().into_iter().next() else {
        return Err(Failure::settings("bind a source to the sync: there is nothing to open"));
    };
    let mut kept = Vec::new();
    for _ in 0..1_000_000 {
        kept.push(source.open()?);
    }
    Ok(())
}

pub(crate) fn content_leak() {
    let mut kept = Vec::new();
    for _ in 0..1_000_000 {
        kept.push(raw::desired_files::Content::new());
    }
}

pub(crate) fn huge_contents() -> Result<()> {
    let piece = vec![1; 1 << 20];
    for number in 0..65 {
        Content::of(&piece)?.declare(&format!("huge-{number}"), 0, targets())?;
    }
    Ok(())
}

pub(crate) fn many_declarations(count: u32) -> Result<()> {
    let targets = targets();
    let source = sources().into_iter().next().map_or_else(String::new, |source| source.name);
    (0..count).try_for_each(|number| Tree::of(&source).at(format!("at-{number}")).declare(&targets))
}

pub(crate) fn many_prunes(count: u32) -> Result<()> {
    let targets = targets();
    (0..count).try_for_each(|number| Prune::below(format!("below-{number}")).declare(&targets))
}

pub(crate) fn many_patterns() -> Result<()> {
    let patterns = (0..1_001).map(|number| format!("*.{number}"));
    Prune::below("").keeping(patterns).declare(targets())
}

pub(crate) fn many_targets() -> Result<()> {
    let names: Vec<_> = targets().into_iter().map(|target| target.name).cycle().take(1_001).collect();
    Ok(raw::desired_files::prune(&names, "", &[])?)
}
