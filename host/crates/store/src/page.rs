//! Long lists, a page at a time.

use crate::error::{Error, Result};

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Most items; at least 1 and at most [`Page::MAX`] are given whatever it says.
    pub limit: u32,
    /// [`Listed::next`] of the page before; the beginning if absent.
    pub after: Option<String>,
}

impl Page {
    /// Most items of a page.
    pub const MAX: u32 = 1_000;

    /// The first page.
    pub const fn first(limit: u32) -> Self {
        Self { limit, after: None }
    }

    /// The limit within its bounds.
    pub(crate) fn limit(&self) -> usize {
        self.limit.clamp(1, Self::MAX) as usize
    }

    /// The limit and one more, which tells whether there is a next page.
    pub(crate) fn one_more(&self) -> i64 {
        i64::from(self.limit.clamp(1, Self::MAX)) + 1
    }

    /// Where to go on, parsed.
    pub(crate) fn position<T: std::str::FromStr>(&self) -> Result<Option<T>> {
        let parse = |text: &String| text.parse().map_err(|_| Error::Cursor(text.chars().take(100).collect()));
        self.after.as_ref().map(parse).transpose()
    }
}

impl Default for Page {
    fn default() -> Self {
        Self::first(100)
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; absent at the end. Opaque.
    pub next: Option<String>,
}

impl<T> Listed<T> {
    /// From items of which one more than the page's limit was asked for; `position` names the last one that is given.
    pub(crate) fn cut(mut items: Vec<T>, page: &Page, position: impl Fn(&T) -> String) -> Self {
        let more = items.len() > page.limit();
        items.truncate(page.limit());
        let next = if more { items.last().map(position) } else { None };
        Self { items, next }
    }
}

/// A place in a list that is stored in chunks: the chunk, and how many of its items were given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ChunkPosition {
    pub chunk: i64,
    pub offset: usize,
}

impl std::fmt::Display for ChunkPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.chunk, self.offset)
    }
}

impl std::str::FromStr for ChunkPosition {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (chunk, offset) = text.split_once('.').ok_or(())?;
        Ok(Self { chunk: chunk.parse().map_err(|_| ())?, offset: offset.parse().map_err(|_| ())? })
    }
}
